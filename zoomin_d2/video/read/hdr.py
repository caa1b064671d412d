"""HDR10's static metadata: what the mastering display could show, how bright the content gets.

FFmpeg provides it with decoded frames; each encoder takes it as its own parameters.
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple, cast

import av
from av.buffer import Buffer
from av.sidedata.sidedata import Type

_DISPLAY = struct.Struct("=20iii")  # AVMasteringDisplayMetadata: ten AVRational, two flags
_LIGHT = struct.Struct("=II")  # AVContentLightMetadata
# encoder -> (its option, name of the display's parameter, of the light levels')
_PARAMETERS = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}


class HdrMetadata(NamedTuple):
    """`display`: ((x, y) of red, green, blue and white point, in CIE 1931; (least, most) cd/m^2),
    or None. `light`: (MaxCLL, MaxFALL) in cd/m^2, or None."""

    display: tuple[tuple[tuple[float, float], ...], tuple[float, float]] | None
    light: tuple[int, int] | None


def read_hdr_metadata(frame: av.VideoFrame) -> HdrMetadata | None:
    """The metadata of a decoded frame; None if it has none."""
    carried = cast(Mapping[Type, Buffer], frame.side_data)  # the stubs declare its keys as text
    display = carried.get(Type.MASTERING_DISPLAY_METADATA)
    light = carried.get(Type.CONTENT_LIGHT_LEVEL)
    hdr = HdrMetadata(
        None if display is None else _display(bytes(display)),
        None if light is None else _LIGHT.unpack_from(bytes(light)),
    )
    return hdr if hdr.display or hdr.light else None


def encoder_parameters(codec: str, hdr: HdrMetadata) -> tuple[str, str] | None:
    """(option, value) that makes an encoder write the metadata; None: it cannot."""
    if codec not in _PARAMETERS:
        return None
    option, display_name, light_name = _PARAMETERS[codec]
    parts = []
    if hdr.display is not None:
        (red, green, blue, white), (least, most) = hdr.display
        if codec == "libsvtav1":  # plain numbers
            points = [
                f"{name}({x:.5f},{y:.5f})"
                for name, (x, y) in (("G", green), ("B", blue), ("R", red), ("WP", white))
            ]
            parts.append(f"{display_name}={''.join(points)}L({most:.4f},{least:.4f})")
        else:  # in steps of 0.00002 and 0.0001 cd/m^2
            points = [
                f"{name}({round(50_000 * x)},{round(50_000 * y)})"
                for name, (x, y) in (("G", green), ("B", blue), ("R", red), ("WP", white))
            ]
            luminance = f"L({round(10_000 * most)},{round(10_000 * least)})"
            parts.append(f"{display_name}={''.join(points)}{luminance}")
    if hdr.light is not None:
        parts.append(f"{light_name}={hdr.light[0]},{hdr.light[1]}")
    return option, ":".join(parts)


def _display(data: bytes):
    *numbers, has_primaries, has_luminance = _DISPLAY.unpack_from(data)
    if not (has_primaries and has_luminance):
        return None
    values = [a / b if b else 0.0 for a, b in zip(numbers[::2], numbers[1::2])]
    points = tuple((values[i], values[i + 1]) for i in range(0, 8, 2))
    return points, (values[8], values[9])
