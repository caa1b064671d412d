"""Decides what goes beside the video, and tries it before any frame is made.

The muxer of the output first writes every copied packet to a null container, so that streams it
cannot hold and packets it refuses are known before the work begins.
"""

import contextlib
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal

import av

from zoomin_d2.video.errors import OptionError, OutputError
from zoomin_d2.video.read.containers import is_cover, open_container, stream_name
from zoomin_d2.video.read.source import SourceInfo
from zoomin_d2.video.write.audio import choose_audio
from zoomin_d2.video.write.copied_packets import Clock, add_copy, copied_packets
from zoomin_d2.video.write.encoder import container_format
from zoomin_d2.video.write.null_container import scratch_container
from zoomin_d2.video.write.side_streams import (
    CopyPlan,
    SideStream,
    attach,
    can_be_attached,
    make_anew,
)
from zoomin_d2.video.write.subtitles import text_codec

_TRIAL_PACKETS = 8  # of each encoded or converted stream
_REFUSALS = (av.FFmpegError, ValueError, OSError)
AudioMode = Literal["copy", "encode", "drop"]


def plan_copy(
    source: Path | None,
    output: Path,
    video_index: int,
    slowmo: Fraction = Fraction(1),
    audio: AudioMode | None = None,
    until: Fraction | None = None,
) -> CopyPlan:
    """What goes along with the video.

    Args:
        audio: None copies sound, and encodes it if slow motion needs that.
        until: nothing that begins after this time (of the output) goes along.

    Raises:
        OptionError: audio is "copy", in slow motion.
        OutputError: the container cannot hold the sound as it is, or it cannot be encoded.
    """
    if source is None:
        return CopyPlan(None)
    mode = audio or ("copy" if slowmo == 1 else "encode")
    if mode == "copy" and slowmo != 1:
        raise OptionError("Sound cannot be copied into slow motion: use --audio stretch or drop")
    container = container_format(output)
    with open_container(source) as opened:
        plan = CopyPlan(source, video_index, Clock.of(opened, slowmo))
        for stream in opened.streams:
            is_unwanted = stream.type == "audio" and mode == "drop"
            if stream.index != video_index and not is_unwanted and not _is_known(opened, stream):
                plan.streams.append(SideStream(stream.index, stream.type, stream_name(stream)))
        copies = []
        for side in list(plan.streams):
            stream = opened.streams[side.index]
            if stream.type == "audio" and mode == "encode":
                _plan_encoding(container, plan, stream, side)
            elif stream.type == "attachment" or is_cover(stream):
                _plan_picture(output, plan, stream, side)
            else:
                copies.append(side)
        for index in _try_copies(container, plan, copies, until):
            side = next(side for side in copies if side.index == index)
            _plan_instead(output, plan, opened.streams[index], side)
    return plan


def left_behind(info: SourceInfo, audio: AudioMode | None) -> list[str]:
    """Names of what comes with the video, for outputs that hold only pictures, and for inputs that
    are pipes."""
    if info.file is None:
        return [name for kind, name in info.beside if (kind, audio) != ("audio", "drop")]
    with open_container(info.file) as opened:
        names = [
            stream_name(stream)
            for stream in opened.streams
            if stream.index != info.stream_index
            and not (stream.type == "audio" and audio == "drop")
            and not _is_known(opened, stream)
        ]
        return [*names, "chapters"] if opened.chapters() else names


def _plan_encoding(container: str, plan: CopyPlan, stream, side: SideStream) -> None:
    side.how = "encode"
    try:
        side.audio, notes = choose_audio(container, stream)
        problem = _try_made(container, plan, stream, side)
    except OutputError as error:
        notes, problem = [], str(error)
    if problem:
        raise OutputError(
            f"The sound ({side.name}) cannot be encoded: {problem}; --audio drop leaves it out"
        )
    plan.warnings += [f"{side.name}: {note}" for note in notes]


def _plan_picture(output: Path, plan: CopyPlan, stream, side: SideStream) -> None:
    """An attachment, or a cover: a separate stream in .mp4, an attachment in .mkv."""
    container = container_format(output)
    problem: str | None = "does not hold attachments"
    if container == "matroska" and can_be_attached(stream):
        side.how = "attach"
        problem = _try_attachment(container, plan, stream)
    elif container == "mp4" and is_cover(stream):
        side.how = "cover"
        problem = _try_made(container, plan, stream, side)
    if problem:
        _drop(output, plan, side)


def _plan_instead(output: Path, plan: CopyPlan, stream, side: SideStream) -> None:
    """Plan what to do with a stream that cannot be copied."""
    if stream.type == "audio":
        elsewhere = "" if _is_mkv(output) else ", and an .mkv output holds it unchanged"
        raise OutputError(
            f"A {output.suffix} file cannot hold {stream.codec_context.name} sound: --audio encode "
            f"converts it, --audio drop leaves it out{elsewhere}"
        )
    container = container_format(output)
    codec = text_codec(container, stream)
    if codec is not None:
        side.how, side.codec = "convert", codec
        if _try_made(container, plan, stream, side) is None:
            if stream.codec_context.name in ("ass", "ssa"):
                plan.warnings.append(f"{side.name}: converted to {codec}, which has fewer styles")
            return
    _drop(output, plan, side)


def _drop(output: Path, plan: CopyPlan, side: SideStream) -> None:
    plan.streams.remove(side)
    elsewhere = "" if _is_mkv(output) else "; an .mkv output might"
    plan.dropped.append(f"{side.name}: {output.suffix} cannot hold it{elsewhere}")


def _is_mkv(output: Path) -> bool:
    return output.suffix.lower() == ".mkv"


def _is_known(container: av.container.InputContainer, stream) -> bool:
    """Data that the muxer recreates from what is copied anyway: the chapters of an .mp4, which are
    also a text track, and a track of one time code."""
    if stream.type != "data":
        return False
    chapters = container.chapters()
    is_chapters = bool(chapters) and stream.frames == len(chapters)
    return is_chapters or "timecode" in stream.metadata


def _try_copies(
    container: str, plan: CopyPlan, sides: list[SideStream], until: Fraction | None
) -> set[int]:
    """Notes the refused packets. Returns the streams that cannot be copied."""
    unfit: set[int] = set()
    if not sides:
        return unfit
    trials = {}
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_container(plan.source))
        for side in sides:
            scratch = stack.enter_context(scratch_container(container))
            try:
                target = add_copy(scratch, source.streams[side.index])
                scratch.start_encoding()
                trials[side.index] = side, scratch, target
            except _REFUSALS:
                unfit.add(side.index)
        for index, place, seconds, packet in copied_packets(
            source, list(trials), plan.clock, until
        ):
            side, scratch, target = trials[index]
            packet.stream = target
            try:
                scratch.mux(packet)
                side.packets += 1
            except _REFUSALS:
                side.refused.add(place)
                side.note("damaged packets left out", float(seconds))
        for index, (side, scratch, _) in trials.items():
            try:
                scratch.close()
            except _REFUSALS:
                unfit.add(index)
            if side.refused and not side.packets:
                unfit.add(index)
            if index in unfit:
                side.faults.clear()
    return unfit


def _try_made(container: str, plan: CopyPlan, stream, side: SideStream) -> str | None:
    """Write the first packets to a null container; returns what went wrong."""
    trial = replace(side, faults={})
    with scratch_container(container) as scratch:
        try:
            target, packets = make_anew(trial, stream, plan, scratch, None)
            for packet in islice(packets, _TRIAL_PACKETS):
                packet.stream = target
                scratch.mux(packet)
            scratch.close()
        except _REFUSALS as error:
            return _reason(error)
    return None


def _try_attachment(container: str, plan: CopyPlan, stream) -> str | None:
    assert plan.source is not None
    with scratch_container(container) as scratch:
        try:
            attach(plan.source, stream, scratch)
        except _REFUSALS as error:
            return _reason(error)
    return None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
