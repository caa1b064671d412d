"""Encoders: the one for a file name, the pixel format that keeps the source's depth and chroma, and
quality options under one name (`crf`)."""

import os
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import cast

import av

from zoomin_d2.video.errors import OptionError, OutputError
from zoomin_d2.video.read.color import ColorPath, is_rgb
from zoomin_d2.video.read.hdr import encoder_parameters
from zoomin_d2.video.read.source import SourceInfo
from zoomin_d2.video.time.timeline import MAX_FPS
from zoomin_d2.video.write.encoder_table import ALIASES, ENCODERS, Encoder
from zoomin_d2.video.write.null_container import scratch_container

# SVT-AV1 reads it: errors only, not twenty lines for every encoder that opens.
os.environ.setdefault("SVT_LOG", "1")

VIDEO_SUFFIXES = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
KEYFRAME_INTERVAL = 240
_OVERLAP_PIXELS = 1920 * 1088  # x264 takes some 600 MB there with 24 threads
_THREADS_AT_1080P = 96  # of x264, at most: 24 at 4K, 6 at 8K, some 2 GB
# encoder -> the containers that hold its transparency
_ALPHA = {
    "libvpx-vp9": ("webm", "matroska"),
    "prores_ks": ("mov", "matroska"),
    "ffv1": ("matroska",),
}
_ALPHA_OPTIONS = {"libvpx-vp9": {"auto-alt-ref": "0"}, "prores_ks": {"profile": "4"}}
CLOCKS = {"matroska": Fraction(1, 1000), "webm": Fraction(1, 1000)}  # seconds of a tick
_PICTURE_SUFFIXES = (".gif", ".webp", ".apng", ".png")


@dataclass(frozen=True)
class EncodeOptions:
    """The user's choices; None is the default for the container and the source.

    Attributes:
        codec: an encoder of FFmpeg (libx264, libx265, libsvtav1, libvpx-vp9, prores_ks, ffv1,
            h264_nvenc, hevc_nvenc, av1_nvenc) or h264, h265, av1, vp9, prores.
        crf: constant quality, lower is better; the same name for every encoder.
        preset: the encoder's own speed preset (the profile of ProRes).
        pix_fmt: FFmpeg's name.
    """

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None


@dataclass(frozen=True)
class EncoderSettings:
    """An encoder that can be opened any number of times, always with the same settings."""

    codec: str
    pix_fmt: str
    width: int
    height: int
    fps: Fraction
    time_base: Fraction
    color: ColorPath
    options: dict[str, str]
    sample_aspect_ratio: Fraction | None
    clock: Fraction | None = None  # a tick of the output, if it is coarse
    warnings: tuple[str, ...] = ()

    @property
    def segment_suffix(self) -> str:
        """The container that holds this codec, its color tags and alpha, with timestamps as exact
        as the output's."""
        if self.clock and (self.codec == "ffv1" or self.has_alpha):
            return ".mkv"
        return ".mov" if self.codec == "prores_ks" else ".mp4"

    @property
    def can_overlap(self) -> bool:
        """Whether one encoder may be flushed while the next is filled: twice the memory."""
        is_small = self.width * self.height <= _OVERLAP_PIXELS
        return is_small and not ENCODERS[self.codec].is_costly

    @property
    def clock_options(self) -> dict[str, str]:
        """Of a muxer for .mp4 or .mov: ticks of the output's time base, also for a late start,
        which is in milliseconds otherwise."""
        ticks = str(self.time_base.denominator)
        return {"video_track_timescale": ticks, "movie_timescale": ticks}

    @property
    def has_alpha(self) -> bool:
        """Whether the output holds transparency."""
        return any(component.is_alpha for component in av.VideoFormat(self.pix_fmt).components)

    def add_stream(self, container: av.container.OutputContainer) -> av.VideoStream:
        """Add a stream for this encoder to a container that is open for writing."""
        added = container.add_stream(self.codec, rate=self.fps, options=dict(self.options))
        stream = cast(av.VideoStream, added)
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, self.pix_fmt
        context = stream.codec_context
        context.time_base = self.time_base
        context.gop_size = KEYFRAME_INTERVAL
        if self.codec == "libx264":
            # FFmpeg's default. PyAV's is slices, with which x264's threads all wait at every frame,
            # and cut it into as many pieces.
            context.thread_type = "AUTO"
            # x264 takes 3 threads for 2 cores, and each holds two frames (20 MB at 1080p).
            most = max(2, _THREADS_AT_1080P * 1920 * 1080 // (self.width * self.height))
            if 2 * most < 3 * (os.cpu_count() or 1):
                context.thread_count = most
        tags = self.color.tags
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        context.colorspace = tags.matrix
        if tags.full_range is not None:
            context.color_range = 2 if tags.full_range else 1
        if self.sample_aspect_ratio:
            context.sample_aspect_ratio = self.sample_aspect_ratio
        return stream


def choose_encoder(
    path: str | Path,
    options: EncodeOptions,
    info: SourceInfo,
    fps: Fraction,
    time_base: Fraction,
    size: tuple[int, int] | None = None,
    keep_alpha: bool = False,
) -> EncoderSettings:
    """Choose the settings for a file name and try them, so that a codec that does not open fails
    now.

    Args:
        size: (height, width) of the frames, if they are not those of the source.
        keep_alpha: keep transparency if the encoder and the container hold it.

    Raises:
        OptionError: an unknown encoder, or one that lacks this crf, preset, or pix_fmt.
        OutputError: an unknown container, or an encoder that is not there or refuses this video.
    """
    container = container_format(path)
    deep = info.color.deep
    codec = options.codec
    if codec is None:
        codec = "libx265" if deep else "libx264"
        if container == "webm":
            codec = "libsvtav1" if deep and not info.has_alpha else "libvpx-vp9"
    codec = ALIASES.get(codec, codec)
    if codec not in ENCODERS:
        short = "h264, h265, av1, vp9, prores"
        raise OptionError(f"Unknown codec {codec!r}; known: {short}, or {', '.join(ENCODERS)}")
    encoder = ENCODERS[codec]
    try:
        formats = [f.name for f in av.Codec(codec, "w").video_formats or []]
    except ValueError as error:
        raise OutputError(f"This build of FFmpeg has no encoder {codec}") from error
    if codec == "libvpx-vp9":  # it lists more, and does not open with them
        formats = [f for f in formats if f == "yuva420p" or not f.startswith("yuva")]
    with scratch_container(container) as scratch:
        supported = scratch.supported_codecs
        if not supported & {codec, av.Codec(codec, "w").canonical_name}:
            raise OutputError(_cannot_hold(path, codec))
    clock = CLOCKS.get(container)
    if clock is not None and fps * clock > 1:
        raise OutputError(
            f"{float(fps):g} fps is too fast: the clock of a {Path(path).suffix} ticks in "
            f"milliseconds and holds at most {1 / clock} fps; an .mp4 or .mov holds more"
        )
    if fps > MAX_FPS:
        raise OutputError(f"{float(fps):g} fps is too fast: a video has at most {MAX_FPS}")
    height, width = size or (info.height, info.width)
    if width < encoder.min_size[0] or height < encoder.min_size[1]:
        least = "x".join(map(str, encoder.min_size))
        raise OutputError(
            f"{codec} needs at least {least} pixels, but the video has {width}x{height}: choose "
            "another --codec"
        )
    pix_fmt = options.pix_fmt
    warnings: list[str] = []
    if pix_fmt is None:
        kind = "yuva" if keep_alpha and container in _ALPHA.get(codec, ()) else "yuv"
        pix_fmt, warnings = _choose_pix_fmt(codec, encoder, formats, info, height, width, kind)
    elif pix_fmt not in formats or is_rgb(pix_fmt):
        known = ", ".join(f for f in formats if not is_rgb(f))
        raise OptionError(f"{codec} cannot write {pix_fmt}; it can write {known}")
    quality = {}
    _check_values(codec, encoder, options)
    if encoder.quality:
        value = encoder.default if options.crf is None else options.crf
        if codec != "prores_ks" or options.crf is not None:
            quality[encoder.quality] = str(value)
    speed = {} if options.preset is None else {encoder.speed: options.preset}
    alpha = _ALPHA_OPTIONS.get(codec, {}) if "yuva" in pix_fmt else {}
    all_options = {**encoder.options, **alpha, **quality, **speed}
    if info.hdr is not None:
        written = encoder_parameters(codec, info.hdr)
        if written is None:
            warnings.append(f"{codec} cannot store HDR10's mastering data; --codec h265 can")
        else:
            all_options[written[0]] = ":".join(
                filter(None, [all_options.get(written[0]), written[1]])
            )
    color = info.color.limited() if encoder.is_limited else info.color
    aspect = info.sample_aspect_ratio
    if aspect not in (None, 1) and container in CLOCKS and not encoder.holds_aspect:
        warnings.append(
            f"a {Path(path).suffix} of {codec} cannot hold the pixel aspect of {aspect}; players "
            "will show it squeezed: write an .mp4 or .mov, or choose --codec h264 or h265"
        )
    settings = EncoderSettings(
        codec,
        pix_fmt,
        width,
        height,
        fps,
        time_base,
        color,
        all_options,
        aspect,
        clock,
        tuple(warnings),
    )
    _try(settings, container, path)
    return settings


def _check_values(codec: str, encoder: Encoder, options: EncodeOptions) -> None:
    """Encoders clip what is out of range, and FFmpeg drops options that an encoder lacks."""
    crf, preset = options.crf, options.preset
    if preset is not None and preset not in encoder.presets:
        known = ", ".join(encoder.presets)
        raise OptionError(f"{codec} takes --preset {known}, not {preset!r}")
    if crf is None:
        return
    if not encoder.quality:
        raise OptionError(f"{codec} is lossless: leave out --crf")
    if not (isinstance(crf, Real) and 0 <= crf <= encoder.worst):
        raise OptionError(f"{codec} takes --crf 0 (best) to {encoder.worst} (worst), not {crf!r}")


def container_format(path: str | Path) -> str:
    """FFmpeg's name of the container of a file name. Raises OutputError."""
    suffix = Path(path).suffix.lower()
    if suffix not in VIDEO_SUFFIXES:
        raise OutputError(
            f"{path}: unknown kind of output {suffix!r}; known are "
            f"{', '.join(VIDEO_SUFFIXES)}, animated images, a folder for images, and - for y4m"
        )
    return VIDEO_SUFFIXES[suffix]


def _choose_pix_fmt(codec, encoder, formats, info, height, width, kind) -> tuple[str, list[str]]:
    warnings = []
    chroma, depth = _sampling(info)
    if (height % 2 or width % 2) and not encoder.odd_420 and chroma != "444":
        chroma = "444"
        warnings.append(
            f"{width}x{height} is odd, which {codec} only supports with full chroma (4:4:4). Some "
            "players cannot show that; --codec av1 or vp9 can keep 4:2:0"
        )
    depths = [d for d in (depth, 12, 10) if d <= max(depth, 10)] if depth > 8 else [8, 10]
    for bits in [*depths, 8]:
        for sampling in _NEAREST[chroma]:
            name = f"{kind}{sampling}p" + (f"{bits}le" if bits > 8 else "")
            if name not in formats and name == "yuv420p10le" and "p010le" in formats:
                name = "p010le"
            if name in formats:
                if bits < depth:
                    warnings.append(f"{codec} has no {depth}-bit format here; writing {bits} bits")
                if chroma not in _HELD[sampling]:
                    warnings.append(f"{codec} has no {chroma} chroma; writing {sampling}")
                return name, warnings
    return formats[0], warnings


# chroma sampling -> what to write it as, best first; -> the samplings it holds without loss
_NEAREST = {
    "420": ("420", "422", "444"),
    "422": ("422", "444", "420"),
    "440": ("444", "422", "420"),  # hardly any player shows it
    "444": ("444", "422", "420"),
}
_HELD = {"420": ("420",), "422": ("422", "420"), "444": tuple(_NEAREST)}


def _sampling(info: SourceInfo) -> tuple[str, int]:
    """The coarsest chroma sampling that holds a source's, and its bits. Gray needs the least;
    images and GIFs are written in the form that every player shows."""
    pix_fmt = av.VideoFormat(info.pix_fmt)
    depth = max(component.bits for component in pix_fmt.components)
    is_picture = info.is_images or Path(info.name).suffix.lower() in _PICTURE_SUFFIXES
    is_gray = len(pix_fmt.components) < 3 and info.pix_fmt != "pal8"
    if is_gray or is_picture:
        return "420", depth
    is_wide, is_high = pix_fmt.chroma_width(16) > 8, pix_fmt.chroma_height(16) > 8
    if is_high:
        return "444" if is_wide else "422", depth
    return "440" if is_wide else "420", depth


def _try(settings: EncoderSettings, output: str, path: str | Path) -> None:
    """Open the encoder, and write the header of the output's container, once, so that either fails
    before any frame is made."""
    with scratch_container(output) as container:
        stream = settings.add_stream(container)
        try:
            stream.codec_context.open()
        except (av.FFmpegError, ValueError, OSError) as error:
            where = "this machine" if "nvenc" in settings.codec else "this video"
            raise OutputError(
                f"{settings.codec} cannot be used for {where} ({settings.width}x{settings.height} "
                f"{settings.pix_fmt}, options {settings.options}): {error}"
            ) from error
        try:
            container.start_encoding()
        except (av.FFmpegError, ValueError, OSError) as error:
            raise OutputError(_cannot_hold(path, settings.codec)) from error


def _cannot_hold(path: str | Path, codec: str) -> str:
    return f"A {Path(path).suffix} file cannot hold {codec}; .mkv can"
