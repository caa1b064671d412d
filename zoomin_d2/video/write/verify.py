"""Checks around a job: free disk space before it, and verification of the finished file."""

import shutil
from collections import deque
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av

from zoomin_d2.video.errors import DiskFullError, VerificationError
from zoomin_d2.video.read.containers import is_cover, open_container, own_duration
from zoomin_d2.video.read.source import Source
from zoomin_d2.video.report import Report
from zoomin_d2.video.time.timeline import Target
from zoomin_d2.video.write.assemble import file_tags, moved_chapters
from zoomin_d2.video.write.encoder import EncoderSettings
from zoomin_d2.video.write.segments import MIN_FREE_BYTES
from zoomin_d2.video.write.side_streams import CopyPlan, SideStream, counts

# A low estimate of what an encoder at the default quality writes, so that nothing that would have
# fit is refused.
_BITS_PER_PIXEL = 0.02
_HEAD = {"video": 64, "audio": 32}  # packets within which the first frame must be decoded
_TAIL = {"video": 1024, "audio": 8}  # packets kept to decode the last frame


def check_space(
    output: Path, source_file: Path | None, settings: EncoderSettings, num_frames: int
) -> None:
    """Raises DiskFullError if the output cannot fit. Segments and the joined file exist together
    for a moment, and copied streams come on top."""
    pixels = settings.width * settings.height
    expected = 2 * int(num_frames * pixels * _BITS_PER_PIXEL / 8)
    free = shutil.disk_usage(output.parent).free
    if free < expected + MIN_FREE_BYTES:
        needed = (expected + MIN_FREE_BYTES) / 2**20
        raise DiskFullError(
            f"{output.parent}: {free / 2**20:.0f} MiB are free, but {num_frames} frames of "
            f"{settings.width}x{settings.height} need about {needed:.0f} MiB"
        )


def verify_video(
    file: Path,
    report: Report,
    settings: EncoderSettings,
    source: Source,
    target: Target,
    plan: CopyPlan,
    limit: Fraction | None = None,
) -> None:
    """Read the finished file back. The video must have as many frames as were written, growing
    times, the duration of the source to within half a frame, and a first and last frame that
    decode. The other streams must have as many packets as were written, the first and last of which
    decode. Metadata and chapters must be there.

    Sets report.duration, and adds to report.dropped what is missing beside the video.

    Args:
        limit: seconds of the output, if it was limited.

    Raises:
        VerificationError: something is wrong with the video.
    """
    with open_container(file) as container:
        pairs = _pair(container, plan.streams)
        video = _Video(container.streams.video[0])
        sides = {stream.index: _Ends(stream) for _, stream in pairs if stream is not None}
        for packet in container.demux():
            if packet.stream_index == video.index:
                video.add(packet)
            elif packet.stream_index in sides:
                sides[packet.stream_index].add(packet)
        _check_video(video, report, settings, source, None if limit is not None else target)
        for side, stream in pairs:
            report.dropped += _losses(side, stream and sides[stream.index], plan)
        report.dropped += _lost_descriptions(container, plan, limit)


def _check_video(
    video: "_Video",
    report: Report,
    settings: EncoderSettings,
    source: Source,
    target: Target | None,
) -> None:
    if video.packets != report.output_frames:
        raise VerificationError(
            f"the file holds {video.packets} frames, but {report.output_frames} were written"
        )
    video.times.sort()
    times = [time for time, _ in video.times]
    if any(b <= a for a, b in pairwise(times)):
        raise VerificationError("two frames have the same time")
    broken = video.broken()
    if broken:
        raise VerificationError(f"the {broken} frame of the video cannot be decoded")
    step = 1 / settings.fps
    end = video.end or times[-1] + (video.times[-1][1] or step)
    duration = end - times[0]
    report.duration = float(duration)
    if target is None:
        return
    expected = max(step, (source.end - source.info.start) * target.slowmo)  # one frame at least
    if abs(duration - expected) > step / 2 + 2 * max(video.tick, source.info.time_base):
        raise VerificationError(
            f"the video lasts {float(duration):.4f} s, but should last {float(expected):.4f} s"
        )


class _Ends:
    """Counts the packets of a stream, and decodes the first and the last one."""

    def __init__(self, stream: av.stream.Stream):
        self.index = stream.index
        self.packets = self.size = 0
        self._kind, self._context = stream.type, cast(Any, stream.codec_context)
        self._first: bool | None = None  # whether it decoded; None: not yet known
        self._tail: deque[av.Packet] = deque(maxlen=_TAIL.get(stream.type, 1))

    def add(self, packet: av.Packet) -> None:
        if not counts(self._kind, packet.size):
            return
        self.packets += 1
        self.size += packet.size
        if self._first is None:
            if self._frames(packet):
                self._first = True
            elif self.packets >= _HEAD.get(self._kind, 1):
                self._first = False
        if self._kind == "video" and packet.is_keyframe:
            self._tail.clear()
        self._tail.append(packet)

    def broken(self) -> str | None:
        """Which frame cannot be decoded: "first" or "last"."""
        if self._context is None or not self.packets:
            return None
        if self._kind != "subtitle":
            if self._first is None:  # a short stream, which the decoder holds back
                self._first = bool(self._frames(None))
            self._context.flush_buffers()
        if not self._first:
            return "first"
        return None if self._last_decodes() else "last"

    def _last_decodes(self) -> bool:
        """Whether the frame that is shown last comes out; of sound, any of the tail."""
        shown = [p.pts for p in self._tail if p.pts is not None]
        last = max(shown) if shown and self._kind == "video" else None
        found = False
        for packet in [*self._tail, None]:  # no frame is kept
            found |= any(last in (None, frame.pts) for frame in self._frames(packet))
        return found

    def _frames(self, packet: av.Packet | None) -> list[Any]:
        if self._context is None or (packet is None and self._kind == "subtitle"):
            return []
        try:
            if self._kind == "subtitle":
                return [self._context.decode2(packet)]
            return self._context.decode(packet)
        except (av.FFmpegError, ValueError):
            return []


class _Video(_Ends):
    """The same for the video, with the time and duration (seconds) of each frame."""

    def __init__(self, stream: av.stream.Stream):
        super().__init__(stream)
        # The last frame may need all those since a keyframe, 239 of them.
        cast(av.VideoStream, stream).thread_type = "AUTO"
        self.tick = Fraction(stream.time_base or 1)
        self.times: list[tuple[Fraction, Fraction]] = []
        # MP4 stores the time to the next decoded packet, and the end of the whole stream
        self.end: Fraction | None = None
        own = own_duration(stream.container, stream)
        if own is not None:
            self.end = (stream.start_time or 0) * self.tick + own

    def add(self, packet: av.Packet) -> None:
        super().add(packet)
        if packet.size and packet.pts is not None:
            base = packet.time_base
            self.times.append((packet.pts * base, (packet.duration or 0) * base))


def _pair(container, sides: list[SideStream]) -> list[tuple[SideStream, Any]]:
    """Each stream that was written and its place in the file: the order within a kind is kept."""
    pictures = [s for s in container.streams if is_cover(s) or s.type == "attachment"]
    pools = {"picture": iter(pictures)}
    for kind in ("video", "audio", "subtitle", "data"):
        rest = [s for s in container.streams if s.type == kind and s not in pictures and s.index]
        pools[kind] = iter(rest)
    return [
        (side, next(pools["picture" if side.how in ("attach", "cover") else side.kind], None))
        for side in sides
    ]


def _losses(side: SideStream, ends: _Ends | None, plan: CopyPlan) -> list[str]:
    """What the file lacks of a stream, as messages."""
    if ends is None:
        return [f"{side.name}: missing from the finished file"]
    if side.how in ("attach", "cover"):
        return []
    # muxers cut PCM into other packets, so its bytes are compared
    if ends.packets != side.packets and ends.size != side.size:
        return [f"{side.name}: {ends.packets} of {side.packets} packets are in the finished file"]
    broken = ends.broken()
    if broken is None or _broken_in_source(side, plan) == broken:
        return []
    return [f"{side.name}: its {broken} packet cannot be decoded in the finished file"]


def _broken_in_source(side: SideStream, plan: CopyPlan) -> str | None:
    with open_container(plan.source) as source:
        ends = _Ends(source.streams[side.index])
        for packet in source.demux(source.streams[side.index]):
            ends.add(packet)
        return ends.broken()


def _lost_descriptions(container, plan: CopyPlan, limit: Fraction | None) -> list[str]:
    """Metadata and chapters that the container did not take, as messages."""
    if plan.source is None:
        return []
    losses = []
    with open_container(plan.source) as source:
        kept = {key.casefold() for key in container.metadata}
        wanted = {key for key, value in file_tags(source.metadata).items() if value}
        lost = sorted(key for key in wanted if key.casefold() not in kept)
        if lost:
            losses.append(f"metadata: {', '.join(lost)}")
        expected = len(moved_chapters(source, plan.clock, limit))
        found = len(container.chapters())
        if found < expected:
            losses.append(f"chapters: {found} of {expected} are in the finished file")
    return losses
