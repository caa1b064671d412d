"""The encoders of FFmpeg that are used: what each takes, its defaults and its limits."""

from dataclasses import dataclass, field

ALIASES = {
    "h264": "libx264",
    "x264": "libx264",
    "h265": "libx265",
    "hevc": "libx265",
    "x265": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
}
_X26X_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
_NVENC_PRESETS = (*(f"p{i}" for i in range(1, 8)), "slow", "medium", "fast")
_PRORES_PROFILES = ("proxy", "lt", "standard", "hq", "4444", "4444xq", *map(str, range(6)))


@dataclass(frozen=True)
class Encoder:
    """`quality`: the option that takes crf; `default`: its value; `options`: always given;
    `speed`: the option that takes the preset; `presets`: its values; `odd_420`: takes odd sizes
    with halved chroma; `min_size`: width and height; `worst`: the largest crf; `holds_aspect`: the
    codec itself stores the pixel aspect; `is_limited`: players take it for limited range, whatever
    its tag says; `is_costly`: an open one takes gigabytes, or one of a GPU's few sessions."""

    quality: str
    default: int
    options: dict[str, str] = field(default_factory=dict)
    speed: str = "preset"
    presets: tuple[str, ...] = _X26X_PRESETS
    odd_420: bool = False
    min_size: tuple[int, int] = (2, 2)
    worst: int = 51
    holds_aspect: bool = False
    is_limited: bool = False
    is_costly: bool = False


_X265_QUIET = {"x265-params": "log-level=error"}
_NVENC = {"preset": "p5", "rc": "vbr", "b": "0"}
ENCODERS = {
    "libx264": Encoder("crf", 16, holds_aspect=True),
    # x265 writes out of bounds for widths of 33 to 48, and aborts the process below 32.
    "libx265": Encoder("crf", 18, _X265_QUIET, min_size=(64, 32), holds_aspect=True),
    "libsvtav1": Encoder(
        "crf",
        24,
        {"preset": "7"},
        presets=tuple(map(str, range(14))),
        odd_420=True,
        worst=63,
        is_costly=True,
    ),
    "libvpx-vp9": Encoder(
        "crf",
        20,
        {"b": "0", "row-mt": "1", "cpu-used": "3"},
        "cpu-used",
        tuple(map(str, range(9))),
        odd_420=True,
        worst=63,
    ),
    "prores_ks": Encoder(
        "qscale",
        0,
        {"profile": "3", "vendor": "apl0"},
        "profile",
        _PRORES_PROFILES,
        odd_420=True,
        worst=224,
        is_limited=True,
    ),
    "ffv1": Encoder("", 0, {"level": "3", "slicecrc": "1"}, "level", ("3",), odd_420=True),
    "h264_nvenc": Encoder(
        "cq", 18, _NVENC, presets=_NVENC_PRESETS, holds_aspect=True, is_costly=True
    ),
    "hevc_nvenc": Encoder(
        "cq", 20, _NVENC, presets=_NVENC_PRESETS, holds_aspect=True, is_costly=True
    ),
    "av1_nvenc": Encoder("cq", 24, _NVENC, presets=_NVENC_PRESETS, is_costly=True),
}
