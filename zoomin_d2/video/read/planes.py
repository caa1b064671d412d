"""Samples of YUV as a codec has them, plane by plane: no conversion, so nothing is lost."""

from collections.abc import Sequence
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane

from zoomin_d2.video.read.color import convert, is_rgb


class Planes(NamedTuple):
    """Luma and chroma of one frame.

    Attributes:
        pix_fmt: FFmpeg's name.
        arrays: a plane each, (rows, columns) uint8 or uint16.
        full_range: whether luma uses all levels, or 16 to 235 of 255.
    """

    pix_fmt: str
    arrays: Sequence[np.ndarray]
    full_range: bool


def planes_of(
    picture: av.VideoFrame, full_range: bool, stored_as: str | None = None
) -> Planes | None:
    """The planes of a decoded frame, as views of its memory, before rotation; None: they are not
    YUV with luma in a plane of its own, or their rows are in reverse order (FFmpeg's vflip), or
    their format has another range.

    Args:
        stored_as: the pixel format of the output; a frame that holds its samples in another order
            (NV12, packed 4:2:2) is brought into it, and loses nothing.
    """
    if stored_as is not None and _PLANAR.get(picture.format.name) == stored_as:
        picture = convert(picture, stored_as)
    pixel_format = picture.format
    inside = [
        [part for part in pixel_format.components if part.plane == k]
        for k in range(len(picture.planes))
    ]
    bits = max(part.bits for part in pixel_format.components)
    size = (bits + 7) // 8
    if (
        is_rgb(pixel_format.name)
        or len(inside[0]) > 1
        or bits < 8  # several pixels in a byte
        or (pixel_format.name.startswith("yuvj") and not full_range)  # it changes within the video
        or (size > 1 and pixel_format.is_big_endian)
        or size > 2  # floats
        or any(plane.line_size <= 0 for plane in picture.planes)
    ):
        return None
    arrays = []
    for plane, parts in zip(picture.planes, inside):
        used = _rows(plane)[:, : parts[0].width * len(parts) * size]
        arrays.append(used if size == 1 else used.view(np.uint16))
    # "j" is full range, which the color path knows
    return Planes(pixel_format.name.replace("yuvj", "yuv"), arrays, full_range)


def to_picture(planes: Planes) -> av.VideoFrame:
    """A frame of its own with these samples, without tags."""
    height, width = planes.arrays[0].shape
    picture = av.VideoFrame(width, height, planes.pix_fmt)
    for plane, array in zip(picture.planes, planes.arrays, strict=True):
        samples = np.ascontiguousarray(array).view(np.uint8)
        _rows(plane)[:, : samples.shape[1]] = samples
    return picture


def put_samples(picture: av.VideoFrame, planes: Planes, mask: np.ndarray) -> None:
    """Copy the samples into a frame of the same format where all their pixels are in the mask.

    Args:
        mask: (H, W) uint8, 0 or 255.
    """
    if not mask.any():
        return
    for plane, array in zip(picture.planes, planes.arrays, strict=True):
        columns = array.shape[1]
        inside = _whole(mask, plane.height, plane.width)
        if columns > plane.width:  # u and v in turn
            inside = inside.repeat(2, axis=1)
        cv2.copyTo(array, inside, _rows(plane).view(array.dtype)[:, :columns])


def luma_of(planes: Planes) -> np.ndarray:
    """(H, W) uint8, from black at 0 to white at 255."""
    luma = planes.arrays[0]
    if luma.dtype == np.uint16:
        bits = max(part.bits for part in av.VideoFormat(planes.pix_fmt).components)
        shift = 8 if planes.pix_fmt.startswith(_HIGH_BITS) else bits - 8
        luma = (luma >> shift).astype(np.uint8)
    return luma if planes.full_range else cv2.LUT(luma, _FROM_LIMITED)


def _whole(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """The samples of a plane of which all pixels are in the mask: (height, width) uint8, 255."""
    rows, columns = mask.shape
    if (rows, columns) == (height, width):
        return mask
    down, right = -rows % height, -columns % width  # odd sizes: the last sample has half the pixels
    padded = cv2.copyMakeBorder(mask, 0, down, 0, right, cv2.BORDER_REPLICATE)
    mean = cv2.resize(padded, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.threshold(mean, 254, 255, cv2.THRESH_BINARY)[1]


def _rows(plane: VideoPlane) -> np.ndarray:
    """The memory of a plane, (rows, bytes) uint8, with what pads a row."""
    return np.asarray(memoryview(plane)).reshape(plane.height, plane.line_size)


# Formats with u and v in turn, or all in one plane -> the planar one with the same samples
_PLANAR = {
    **dict.fromkeys(("nv12", "nv21"), "yuv420p"),
    **dict.fromkeys(("nv16", "yuyv422", "uyvy422", "yvyu422"), "yuv422p"),
    **dict.fromkeys(("nv24", "nv42"), "yuv444p"),
    "p010le": "yuv420p10le",
}
_HIGH_BITS = ("p0", "p2", "p4")  # P010 and the like: the samples are the upper bits
_FROM_LIMITED = np.rint(((np.arange(256) - 16) * (255 / 219)).clip(0, 255)).astype(np.uint8)
