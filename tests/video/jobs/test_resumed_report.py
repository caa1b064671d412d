"""A resumed run reports what the unbroken run reports, and gives the same exit code."""

import json

import numpy as np
import pytest

from zoomin_d2.video import Hooks, JobOptions, StreamOptions, Target, interpolate_video
from zoomin_d2.video.errors import DamagedVideoError, InterruptedRunError
from zoomin_d2.video.jobs.container_job import StopRequest
from zoomin_d2.video.report import DAMAGED, LOSSES
from zoomin_d2.video.write.encoder import EncodeOptions
from zoomin_d2.video.write.segments import SEGMENT_FRAMES, segments_path

MULTI = Target(multi=2)
FASTEST = EncodeOptions(preset="ultrafast")
STREAM = StreamOptions(dedupe=True)
FRAMES = 160  # of the sources; two segments when they are doubled


@pytest.fixture
def run(tmp_path, average):
    """(source, output name, target, stop after so many frames, options) -> what the report says."""

    def call(source, name, target=MULTI, stop_after=None, **options):
        stop = StopRequest()

        def progress(done, total):
            if stop_after is not None and done >= stop_after:
                stop.set()

        options = JobOptions(stream=STREAM, encode=FASTEST, **options)
        hooks = Hooks(progress=progress, stop=stop)
        report = interpolate_video(source, tmp_path / name, average, target, options, hooks)
        told = {k: v for k, v in report.as_dict().items() if k not in ("output", "seconds")}
        return told, report.exit_code

    return call


@pytest.fixture
def resumed(run):
    """As `run`, in two parts: stopped soon after the first segment, and resumed."""

    def call(source, name, target=MULTI, **options):
        with pytest.raises(InterruptedRunError):
            run(source, name, target, SEGMENT_FRAMES + 5, **options)
        return run(source, name, target, resume=True, **options)

    return call


@pytest.fixture
def damaged(write_video, make_frames):
    """(suffix, shares) -> a file with some bytes overwritten at these places of it."""

    def make(suffix, *shares):
        rng = np.random.default_rng(0)  # packets are longer than their headers
        noise = rng.integers(-9, 9, (FRAMES, 32, 48, 3))
        frames = list(np.clip(make_frames(FRAMES, 32, 48) + noise, 0, 255).astype(np.uint8))
        # the same bits every time: see FASTEST in test_segments
        options = {"preset": "ultrafast", "crf": "8", "bf": "2"}
        path = write_video(f"in.{suffix}", frames, gop=25, encoder_options=options)
        data = bytearray(path.read_bytes())
        for share in shares:
            first = int(share * len(data))
            data[first : first + 400] = bytes(400)
        path.write_bytes(data)
        return path

    return make


@pytest.mark.parametrize("shares", [(0.1,), (0.1, 0.5, 0.57, 0.9)], ids=["early", "all over"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "h264"])
def test_damage_is_counted_once(run, resumed, damaged, without_ts_packet, suffix, shares):
    source = damaged(suffix, *shares)
    if suffix == "ts":
        without_ts_packet(source)
    expected = run(source, "whole.mp4")
    assert expected[1] == DAMAGED
    assert resumed(source, "out.mp4") == expected


def test_damage_before_a_resumed_run_fails(run, damaged):
    source = damaged("mkv", 0.1)
    with pytest.raises(InterruptedRunError):
        run(source, "out.mp4", stop_after=SEGMENT_FRAMES + 5)
    with pytest.raises(DamagedVideoError, match="lost"):
        run(source, "out.mp4", resume=True, on_damage="fail")


def test_lost_transparency_is_reported(run, resumed, write_video, make_frames):
    frames = [np.dstack([f, np.full((32, 48), 255, np.uint8)]) for f in make_frames(FRAMES, 32, 48)]
    for frame in frames[10:20]:
        frame[..., 3] = 100
    source = write_video("in.mkv", frames, codec="ffv1", pix_fmt="yuva420p")
    expected = run(source, "whole.mp4")
    assert expected[1] == LOSSES
    assert resumed(source, "out.mp4") == expected


def test_a_journal_of_an_older_version(tmp_path, run, write_video, make_frames):
    source = write_video("in.mkv", make_frames(FRAMES, 32, 48))
    with pytest.raises(InterruptedRunError):
        run(source, "out.mp4", stop_after=SEGMENT_FRAMES + 5)
    journal = segments_path(tmp_path / "out.mp4") / "journal.json"
    content = json.loads(journal.read_text())
    known = ("frames", "made", "repeats", "cuts", "last_source", "end")
    for segment in content["segments"]:
        assert set(segment["report"]) > set(known)
        segment["report"] = {key: segment["report"][key] for key in known}
    journal.write_text(json.dumps(content))
    report, exit_code = run(source, "out.mp4", resume=True)
    assert (report["output_frames"], exit_code) == (2 * FRAMES, 0)


def test_cuts_and_repeats_are_counted_once(run, resumed, write_video, make_frames):
    """Seven frames each: the segment ends between two source frames, at a cut after a repeat."""
    frames = make_frames(60, 32, 48)
    last = SEGMENT_FRAMES // 7
    frames[last] = frames[last - 1]
    frames[last + 1 :] = [255 - f for f in frames[last + 1 :]]
    source = write_video("in.mkv", frames, codec="ffv1")
    report, _ = expected = run(source, "whole.mp4", Target(multi=7))
    assert (len(report["cuts"]), report["repeated_frames"]) == (1, 1)
    assert resumed(source, "out.mp4", Target(multi=7)) == expected
