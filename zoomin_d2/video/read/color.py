"""YUV to RGB and back, by the tags of the file; the one color path that every frame takes.

RGB is full range, upright (a rotation flag is applied), uint8 for sources of up to 8 bits and
uint16 (0..65535) for deeper ones. Nothing is tone-mapped: primaries and transfer are passed on as
tags, matrix and range decide the conversion. As in players, untagged video counts as BT.709 from
720 rows up and as BT.601 below, in limited range. It stays untagged.
"""

import struct
import threading
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from zoomin_d2.video.errors import BadInputError

# ITU-T H.273 code points, as FFmpeg's AVCOL_* use them
UNSPECIFIED = 2
_RGB = 0  # as a matrix
_SWS_MATRIX = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,  # constant luminance, which swscale lacks: NCL is the nearest
}
_FROM_PRIMARIES = 12  # the matrix that the primaries imply
_SWS_MATRIX_OF_PRIMARIES = {
    1: Colorspace.ITU709,
    6: Colorspace.SMPTE240M,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
# Matrices that swscale does not know, and that no other matrix approximates
_UNKNOWN_MATRICES = {
    8: "YCgCo",
    11: "Y'D'zD'x",
    13: "chroma-derived constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
# swscale's default path repeats chroma and rounds coarsely; these are exact
_FLAGS = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
_LOCKS = [threading.Lock() for _ in range(64)]  # a frame's is chosen by its hash


class Turn(NamedTuple):
    """What makes a decoded picture upright: first its axes change places, then its columns, then
    its rows are reversed. Phones turn, some cameras mirror."""

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W, ...) -> a view of it, upright."""
        if self.transposed:
            image = image.swapaxes(0, 1)
        return image[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]


def turn_of(frame: av.VideoFrame) -> Turn:
    """By the display matrix of a decoded frame; angles between are the nearest right one."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Turn()
    a, b, _, c, d = struct.unpack_from("=5i", cast(bytes, data))  # x' = a x + c y, y' = b x + d y
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Turn(False, a < 0, d < 0)
    return Turn(True, c < 0, b < 0)


class ColorTags(NamedTuple):
    """H.273 code points as in the file; 2 is unspecified, `full_range` None likewise."""

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    full_range: bool | None = None


class ColorPath(NamedTuple):
    """The conversion of one video: the matrix and range of its samples, and the depth of RGB.

    `tags` go into the output; `matrix` and `full_range` say what the samples mean.
    """

    tags: ColorTags
    matrix: Colorspace
    full_range: bool
    deep: bool

    def limited(self) -> "ColorPath":
        """The same in limited range."""
        tags = self.tags
        if tags.full_range is not None:
            tags = tags._replace(full_range=False)
        return self._replace(tags=tags, full_range=False)

    def to_rgb(self, frame: av.VideoFrame, width: int | None = None) -> np.ndarray:
        """A decoded frame as (H, W, 3) RGB, uint8 or uint16.

        Args:
            width: of a smaller copy (areas averaged), before rotation; None: the frame's size.
        """
        options: dict[str, Any] = {}
        if not is_rgb(frame.format.name):
            options = {"src_colorspace": self.matrix, "src_color_range": _range(self.full_range)}
        if width is not None:
            height = max(1, round(frame.height * width / frame.width))
            options |= {"width": width, "height": height, "interpolation": Interpolation.AREA}
        rgb = convert(frame, "rgb48le" if self.deep else "rgb24", **options)
        return turn_of(frame)(rgb.to_ndarray())

    def from_rgb(self, image: np.ndarray, pix_fmt: str) -> av.VideoFrame:
        """(H, W, 3) RGB, or (H, W, 4) with straight alpha, as a frame of `pix_fmt`, tagged."""
        image = np.ascontiguousarray(image)
        deep = image.dtype == np.uint16
        kind = "rgba" if image.shape[2] == 4 else "rgb"
        depth = ("64le" if kind == "rgba" else "48le") if deep else ("" if kind == "rgba" else "24")
        frame = av.VideoFrame.from_ndarray(image, format=kind + depth)
        if not is_rgb(pix_fmt):
            frame = convert(
                frame,
                pix_fmt,
                dst_colorspace=self.matrix,
                dst_color_range=_range(self.full_range),
            )
        elif pix_fmt != frame.format.name:
            frame = convert(frame, pix_fmt)
        return self.tagged(frame)

    def tagged(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame, with the tags of this video."""
        if not is_rgb(frame.format.name):
            frame.colorspace, frame.color_range = self.tags.matrix, _range(self.full_range)
        frame.color_primaries, frame.color_trc = self.tags.primaries, self.tags.transfer
        return frame


def color_path(frame: av.VideoFrame, name: str) -> ColorPath:
    """The conversion for the video `name`, by its first decoded frame.

    Raises:
        BadInputError: its matrix is not supported.
    """
    pix_fmt = frame.format.name
    full = {int(ColorRange.MPEG): False, int(ColorRange.JPEG): True}.get(frame.color_range)
    if pix_fmt.startswith("yuvj"):
        full = True
    tags = ColorTags(frame.color_primaries, frame.color_trc, frame.colorspace, full)
    deep = max(component.bits for component in frame.format.components) > 8
    height = frame.width if turn_of(frame).transposed else frame.height
    # RGB, and gray that is tagged as RGB, become YUV: the untagged default, made explicit
    if is_rgb(pix_fmt) or tags.matrix == _RGB:
        tags = ColorTags(tags.primaries, tags.transfer, 1 if height >= 720 else 6, False)
    elif tags.matrix in _UNKNOWN_MATRICES:
        raise BadInputError(
            f"{name}: its colors are {_UNKNOWN_MATRICES[tags.matrix]} (matrix {tags.matrix}), "
            "which is not supported: convert the video to BT.709 or BT.2020 first, with "
            "FFmpeg's filter zscale or libplacebo"
        )
    matrix = _SWS_MATRIX.get(tags.matrix)
    if tags.matrix == _FROM_PRIMARIES:
        matrix = _SWS_MATRIX_OF_PRIMARIES.get(tags.primaries)
    if matrix is None:
        matrix = Colorspace.ITU709 if height >= 720 else Colorspace.ITU601
    return ColorPath(tags, matrix, bool(tags.full_range), deep)


def path_for_images(height: int, deep: bool) -> ColorPath:
    """For sources that are already RGB: BT.709, limited range, sRGB shown as BT.709 video."""
    return ColorPath(ColorTags(1, 1, 1, False), Colorspace.ITU709, False, deep)


def is_rgb(pix_fmt: str) -> bool:
    """Whether FFmpeg's pixel format holds RGB rather than YUV or gray."""
    return pix_fmt.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2"))


def holds_alpha(pixel_format: av.VideoFormat) -> bool:
    """Whether a pixel format has an alpha channel."""
    return any(component.is_alpha for component in pixel_format.components)


def alpha_of(frame: av.VideoFrame, deep: bool) -> np.ndarray | None:
    """The alpha of a decoded frame, (H, W), upright, 0 to 255 or (`deep`) to 65535; None: it has
    no alpha channel."""
    if not holds_alpha(frame.format):
        return None
    options: dict[str, Any] = {}
    if not is_rgb(frame.format.name):
        options = {"src_colorspace": Colorspace.ITU709}
    rgba = convert(frame, "rgba64le" if deep else "rgba", **options).to_ndarray()
    return turn_of(frame)(rgba[..., 3])


def small_yuv(frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
    """A small copy of a decoded frame, (3, height, width) float32: luma (full range) and both
    chroma planes, 0 to 255, before rotation."""
    options = {} if is_rgb(frame.format.name) else {"src_colorspace": Colorspace.ITU709}
    with _lock_of(frame):
        small = frame.reformat(
            width, height, format="yuv444p", interpolation=Interpolation.AREA, threads=1, **options
        )
    planes = small.to_ndarray().astype(np.float32)
    planes[0] = ((planes[0] - 16) * (255 / 219)).clip(0, 255)
    return planes


def _range(full: bool) -> ColorRange:
    return ColorRange.JPEG if full else ColorRange.MPEG


def convert(
    frame: av.VideoFrame,
    pix_fmt: str,
    interpolation: Interpolation = Interpolation.BICUBIC,
    **options,
) -> av.VideoFrame:
    """A frame in another pixel format, by swscale's exact rules, in one thread: PyAV's rows are so
    close that its writes reach into the next one, which another thread may have written already."""
    with _lock_of(frame):
        return frame.reformat(
            format=pix_fmt, interpolation=interpolation | _FLAGS, threads=1, **options
        )


def _lock_of(frame: av.VideoFrame) -> threading.Lock:
    """Held while PyAV converts a frame: meanwhile it keeps a context in the frame and changes the
    frame's tags. The first frame of a loop is also its last one, for other threads."""
    return _LOCKS[hash(frame) % len(_LOCKS)]
