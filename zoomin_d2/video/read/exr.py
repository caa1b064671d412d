"""OpenEXR images: half floats of linear light, with the attributes of their headers.

A picture is (H, W, 3) RGB or (H, W, 4) RGBA float16; the colors are premultiplied, as EXR has it.
Gray (Y) is three equal colors. The display window is the picture: a smaller data window is black
around it.
"""

import os
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from zoomin_d2.extras import extra
from zoomin_d2.frames import why_too_large
from zoomin_d2.video.errors import BadInputError, OutputError

EXR_SUFFIX = ".exr"
MAX_HALF = 65504.0
# of one image, or of its storage: they do not belong to other images
_OWN = {"channels", "dataWindow", "displayWindow", "type", "lineOrder", "tiles", "chunkCount"}
_OWN |= {"version", "name", "preview"}
_OF_A_MOMENT = {"timeCode", "keyCode", "imageCounter"}
_RATE = "framesPerSecond"
# H.273 primaries -> (x, y) of red, green, blue and white
_PRIMARIES = {
    1: (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
}


@dataclass(frozen=True)
class ExrFormat:
    """What the images of a sequence have in common.

    Attributes:
        attributes: of the header, for other images.
        is_gray: one channel Y. has_alpha: a channel A.
        lost: what a reader leaves out or a writer cannot keep, as messages.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    is_gray: bool = False
    has_alpha: bool = False
    lost: tuple[str, ...] = ()

    @property
    def aspect(self) -> Fraction | None:
        """The shape of a pixel, width to height; None: unknown."""
        ratio = self.attributes.get("pixelAspectRatio")
        return Fraction(ratio).limit_denominator(1000) if ratio else None


def read_exr(path: Path) -> tuple[np.ndarray, ExrFormat]:
    """The picture and the format of an image.

    Raises:
        BadInputError: it cannot be read, or has several parts, deep data, or other channels than
            R, G, B, A or Y; or the package OpenEXR is not installed.
    """
    library = _library(BadInputError, str(path))
    part, header = _part(library, path, header_only=True)
    names = [channel.name for channel in header["channels"]]
    colors = [name for name in ("R", "G", "B") if name in names]
    if len(colors) < 3 and "Y" in names and not {"RY", "BY"} & set(names):
        colors = ["Y"]
    elif len(colors) < 3:
        raise BadInputError(
            f"{path}: has the channels {', '.join(names)}; R, G, and B (or Y) are needed"
        )
    wanted = [*colors, *(["A"] if "A" in names else [])]
    part, header = _part(library, path, header_only=False)
    channels = [part.channels[name] for name in wanted]
    if any((channel.xSampling, channel.ySampling) != (1, 1) for channel in channels):
        raise BadInputError(f"{path}: has subsampled channels, which are not supported")
    planes = [channel.pixels for channel in channels]
    lost = []
    others = [name for name in names if name not in wanted]
    if others:
        lost.append(f"EXR channels: {', '.join(others)}")
    if any(plane.dtype != np.float16 for plane in planes):
        lost.append(f"EXR precision: {planes[0].dtype} is rounded to half floats")
    image = np.dstack([_half(plane) for plane in planes])
    if colors == ["Y"]:
        image = image[..., [0, 0, 0, *range(1, image.shape[2])]]
    image, is_cut = _in_display_window(image, header)
    if is_cut:
        lost.append("EXR pixels outside of the display window")
    kept = {k: v for k, v in header.items() if k not in _OWN | _OF_A_MOMENT}
    left = sorted(_OF_A_MOMENT & set(header))
    if left:
        lost.append(f"EXR attributes of single images: {', '.join(left)}")
    return image, ExrFormat(kept, colors == ["Y"], "A" in names, tuple(lost))


def write_exr(path: Path, image: np.ndarray, form: ExrFormat) -> None:
    """Write (H, W, 3 or 4) float16; alpha is left out if `form` has none. The file at `path` is not
    protected against a stop in between: give a temporary name.

    Raises:
        OutputError: it cannot be written, or the package OpenEXR is not installed.
    """
    library = _library(OutputError, str(path))
    header = {"compression": library.ZIP_COMPRESSION, **form.attributes}
    header["type"] = library.scanlineimage
    planes = [image[..., 0]] if form.is_gray else [image[..., i] for i in range(3)]
    named = dict(zip("Y" if form.is_gray else "RGB", planes))
    if form.has_alpha and image.shape[2] == 4:
        named["A"] = image[..., 3]
    channels = {name: np.ascontiguousarray(plane) for name, plane in named.items()}
    try:
        library.File(header, channels).write(os.fspath(path))
    except (RuntimeError, ValueError, TypeError) as error:
        raise OutputError(f"Cannot write {path}: {error}") from error


def format_for(source: Any, fps: Fraction, has_alpha: bool) -> ExrFormat:
    """The format of images made from a source (SourceInfo).

    Args:
        fps: of the output, written where the input names its rate, and for videos.
        has_alpha: write a channel A even if the images of the source have none.
    """
    form = source.exr
    if form is None:
        attributes: dict[str, Any] = {_RATE: fps}
        if source.sample_aspect_ratio:
            attributes["pixelAspectRatio"] = float(source.sample_aspect_ratio)
        primaries = _PRIMARIES.get(source.color.tags.primaries)
        if primaries is not None:
            attributes["chromaticities"] = primaries
        return ExrFormat(attributes, False, has_alpha)
    attributes = dict(form.attributes)
    if _RATE in attributes:
        attributes[_RATE] = fps
    return ExrFormat(attributes, form.is_gray, form.has_alpha)


def _library(kind: type[BadInputError] | type[OutputError], name: str) -> Any:
    try:
        with extra("vfx", f"{name}: an EXR image"):
            import OpenEXR
    except ModuleNotFoundError as error:
        raise kind(str(error)) from error
    return OpenEXR


def _part(library: Any, path: Path, header_only: bool) -> tuple[Any, dict[str, Any]]:
    """The only part of a file, and its header."""
    try:
        if header_only:
            file = library.File(os.fspath(path), header_only=True)
        else:
            file = library.File(os.fspath(path), separate_channels=True)
    except (RuntimeError, ValueError) as error:
        raise BadInputError(f"{path}: is not an EXR image, or is damaged ({error})") from error
    if len(file.parts) != 1:
        what = f"has {len(file.parts)} parts" if file.parts else "is damaged: no pixels can be read"
        advice = "; images of one part are needed" if file.parts else ""
        raise BadInputError(f"{path}: {what}{advice}")
    header = file.parts[0].header
    if header["type"] in (library.deepscanline, library.deeptile):
        raise BadInputError(f"{path}: holds deep data; flatten it first")
    for window in ("displayWindow", "dataWindow"):
        width, height = _size(header[window])
        if reason := why_too_large(width, height):
            raise BadInputError(f"{path}: {reason}")
    return file.parts[0], header


def _size(window: Any) -> tuple[int, int]:
    low, high = window
    return int(high[0]) - int(low[0]) + 1, int(high[1]) - int(low[1]) + 1


def _half(plane: np.ndarray) -> np.ndarray:
    if plane.dtype == np.float16:
        return plane
    return np.clip(plane, -MAX_HALF, MAX_HALF).astype(np.float16)


def _in_display_window(image: np.ndarray, header: dict[str, Any]) -> tuple[np.ndarray, bool]:
    """The part of an image in its display window, black where it has no pixels; and whether some
    of it lies outside."""
    (left, top), _ = header["dataWindow"]
    (first, upper), _ = header["displayWindow"]
    width, height = _size(header["displayWindow"])
    x, y = int(left - first), int(top - upper)
    rows, columns = image.shape[:2]
    if (x, y, columns, rows) == (0, 0, width, height):
        return image, False
    shown = np.zeros((height, width, image.shape[2]), image.dtype)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + columns, width), min(y + rows, height)
    if x0 < x1 and y0 < y1:
        shown[y0:y1, x0:x1] = image[y0 - y : y1 - y, x0 - x : x1 - x]
    return shown, bool(x < 0 or y < 0 or x + columns > width or y + rows > height)
