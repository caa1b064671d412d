"""Filters before interpolation: times, sizes, colors, and fields of interlaced video."""

from fractions import Fraction as F
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from zoomin_d2.video import Hooks, Target, interpolate_frames, interpolate_video, open_source
from zoomin_d2.video.errors import (
    BadInputError,
    InterruptedRunError,
    OptionError,
    OutputError,
)
from zoomin_d2.video.jobs.container_job import StopRequest
from zoomin_d2.video.jobs.options import job_options
from zoomin_d2.video.read.filter_graph import DEINTERLACE, FilterGraph, parse_filters
from zoomin_d2.video.read.filtered import FilteredSource
from zoomin_d2.video.read.reader import VideoReader
from zoomin_d2.video.read.source import INTERLACED
from zoomin_d2.video.write.segments import SEGMENT_FRAMES

CLOCK = SimpleNamespace(
    time_base=F(1, 25), rate=F(25), start=F(0), sample_aspect_ratio=None
)  # of a SourceInfo


def _read(source, filters, start=None):
    with open_source(str(source), filters=filters) as opened:
        frames = [(f.index, f.time, opened.to_rgb(f.picture)) for f in opened.frames(start)]
        return frames, opened


@pytest.fixture
def interlaced(tmp_path):
    """Field k, at k / 50 s, has the level 40 + 2 * k (from 200 on, it begins again)."""

    def make(name="in.mp4", order="tff", num_frames=12):
        path, first = tmp_path / name, int(order == "bff")
        fields = FilterGraph(parse_filters(f"setfield={order}"), _weave(0, first), CLOCK)
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
            stream.options = {"crf": "4", "preset": "veryfast", "flags": "+ilme+ildct", "g": "10"}
            for i in range(num_frames):
                frame = _weave(i, first)
                frame.pts, frame.time_base = i, F(1, 25)
                for marked in fields.push(frame):
                    out.mux(stream.encode(marked))
            out.mux(stream.encode())
        return path

    return make


def _weave(number, first):
    image = np.empty((32, 48, 3), np.uint8)
    image[first::2], image[1 - first :: 2] = (40 + 4 * number % 160 + k for k in (0, 2))
    frame = av.VideoFrame.from_ndarray(image)
    # an interlaced picture has the chroma of each field in turn; gray has none
    return frame.reformat(format="yuv420p")


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_every_field_becomes_a_frame(interlaced, order):
    frames, opened = _read(interlaced(order=order), DEINTERLACE)
    assert [(index, time) for index, time, _ in frames] == [(k, F(k, 50)) for k in range(24)]
    levels = [image.mean() for *_, image in frames]
    assert levels == pytest.approx([40 + 2 * k for k in range(24)], abs=1)
    assert (np.diff(levels) > 0).all()
    info = opened.info
    assert (info.rate, info.num_frames, info.duration) == (50, 24, F(12, 25))
    assert opened.end == F(24, 50) and info.warnings == ()


def test_interlaced_video_suggests_it(interlaced, write_video, make_frames):
    with open_source(str(interlaced())) as opened:
        assert opened.info.warnings == (INTERLACED,)
    _, opened = _read(write_video("progressive.mp4", make_frames(4)), DEINTERLACE)
    assert "not marked as interlaced" in opened.info.warnings[0]


def test_a_job_shows_the_fields(interlaced, average, read_video, tmp_path):
    source, output = interlaced("in.mkv"), tmp_path / "out.mkv"
    job = str(source), str(output), average
    report = interpolate_video(*job, Target(fps=50), filters=DEINTERLACE)
    assert (report.source_frames, report.output_frames, report.made_frames) == (24, 24, 0)
    assert read_video(output)[1] == [F(k, 50) for k in range(24)]
    report = interpolate_video(
        *job, Target(multi=2), job_options(overwrite=True), filters=DEINTERLACE
    )
    assert (report.fps, report.output_frames, report.duration) == ("100", 48, 0.48)


def test_crops_are_followed(write_video, make_frames, average, read_video, tmp_path, packets):
    source = write_video("in.mp4", make_frames(6), aspect=F(4, 3), audio="aac")
    report = interpolate_video(
        str(source), tmp_path / "out.mp4", average, Target(multi=2), filters="crop=32:20:8:4"
    )
    assert (report.width, report.height) == (32, 20)
    assert packets(tmp_path / "out.mp4", "audio") == packets(source, "audio")
    whole, _ = read_video(source)
    part, _ = read_video(tmp_path / "out.mp4")
    assert np.abs(part[4].astype(int) - whole[2][4:24, 8:40]).max() <= 3


@pytest.mark.parametrize(
    "filters, size, aspect",
    [
        ("null", (64, 48), F(16, 11)),
        ("scale=32:48", (32, 48), F(32, 11)),
        ("setsar=1", (64, 48), F(1)),
        ("transpose", (48, 64), F(11, 16)),
        ("bwdif,scale=32:48", (32, 48), F(32, 11)),  # holds a frame back
    ],
)
def test_pixels_keep_their_shape(write_video, make_frames, filters, size, aspect):
    source = write_video("in.mp4", make_frames(5), aspect=F(16, 11))
    with open_source(str(source), filters=filters) as opened:
        info = opened.info
        assert ((info.width, info.height), info.sample_aspect_ratio) == (size, aspect)


@pytest.mark.parametrize(
    "filters, rate, times, end",
    [
        ("fps=50", 50, [F(k, 50) for k in range(16)], F(16, 50)),
        ("fps=60", 60, [F(k, 60) for k in range(19)], F(8, 25)),
        ("fps=24", 24, [F(k, 24) for k in range(8)], F(8, 25)),
        ("setpts=2*PTS", F(25, 2), [F(2 * k, 25) for k in range(8)], F(16, 25)),
        ("select='not(mod(n\\,2))'", F(25, 2), [F(2 * k, 25) for k in range(4)], F(8, 25)),
        ("trim=end_frame=3", 25, [F(k, 25) for k in range(3)], F(3, 25)),
    ],
)
def test_times_are_the_filters(write_video, make_frames, filters, rate, times, end):
    frames, opened = _read(write_video("in.mp4", make_frames(8)), filters)
    assert [time for _, time, _ in frames] == times
    assert opened.info.rate == rate and opened.end == end


def test_matroskas_times_stay_exact(write_video, make_frames):
    rate = F(24000, 1001)
    source = write_video("in.mkv", make_frames(8), rate)
    plain, filtered = _read(source, "")[0], _read(source, "null")[0]
    assert [f[1] for f in filtered] == [f[1] for f in plain] == [k / rate for k in range(8)]
    assert all(np.array_equal(a[2], b[2]) for a, b in zip(plain, filtered))


@pytest.mark.parametrize("rotation", [90, 180, 270, (0, True), (90, True), (0, False, True)])
def test_rotated_video_is_upright_first(write_video, make_frames, rotation):
    source = write_video("in.mp4", make_frames(3), rotation=rotation, aspect=F(4, 3))
    (plain, one), (filtered, two) = _read(source, ""), _read(source, "null")
    assert (one.info.width, one.info.height) == (two.info.width, two.info.height)
    assert one.info.sample_aspect_ratio == two.info.sample_aspect_ratio
    assert all(np.abs(a[2].astype(int) - b[2]).max() <= 2 for a, b in zip(plain, filtered))


def test_untagged_colors_survive_rgb_filters(write_video):
    image = np.zeros((720, 64, 3), np.uint8)
    image[...] = (200, 40, 60)
    source = write_video("in.mkv", [image] * 3, codec="ffv1", pix_fmt="yuv444p")
    plain, _ = _read(source, "")
    filtered, opened = _read(source, "format=gbrp,format=yuv444p")
    assert np.abs(plain[0][2].astype(int) - filtered[0][2]).max() <= 2
    assert opened.info.color.tags.matrix == 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_images_keep_depth_and_alpha(tmp_path, average, kind):
    full = np.iinfo(kind).max
    (tmp_path / "in").mkdir()
    for i in range(3):
        image = np.full((16, 24, 4), full // 5 * (i + 1), kind)
        image[:8, :, 3] = full
        cv2.imwrite(str(tmp_path / f"in/{i}.png"), image)
    interpolate_video(
        str(tmp_path / "in"), tmp_path / "out", average, Target(multi=2), filters="hflip,vflip"
    )
    made = [cv2.imread(str(f), cv2.IMREAD_UNCHANGED) for f in sorted((tmp_path / "out").iterdir())]
    assert len(made) == 5 and all(m.dtype == kind and m.shape == (16, 24, 4) for m in made)
    first = cv2.imread(str(tmp_path / "in/0.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(made[0], first[::-1, ::-1])


@pytest.mark.parametrize("filters", [DEINTERLACE, "tmix=frames=5,crop=32:16"])
def test_reading_on_repeats_the_state(interlaced, average, filters):
    source = interlaced(num_frames=60)

    def run(first=0, start=None):
        with open_source(str(source), filters=filters) as opened:
            frames = interpolate_frames(opened, average, Target(multi=2), first=first, start=start)
            return list(frames)

    whole = run()
    first = len(whole) * 4 // 5
    start = whole[first - 1].read_on
    assert start[1] > 0
    rest = run(first, start)
    assert [f.index for f in rest] == [f.index for f in whole[first:]]
    for a, b in zip(whole[first:], rest):
        assert (a.time, a.source_index) == (b.time, b.source_index)
        assert np.array_equal(a.image, b.image)


def test_it_can_be_read_again(interlaced):
    with open_source(str(interlaced()), filters=DEINTERLACE) as source:
        whole = [(f.index, f.time) for f in source.frames()]
        for start in (F(0), F(1, 5)):  # the first one stops early, as an estimate does
            again = (frame for frame, _ in zip(source.frames(start), range(5)))
            expected = [x for x in whole if x[1] >= start][:5]
            assert [(f.index, f.time) for f in again] == expected


def test_other_filters_are_another_source(interlaced):
    source = str(interlaced())
    with open_source(source, filters="hflip") as a, open_source(source, filters="vflip") as b:
        assert a.info.fingerprint != b.info.fingerprint


def test_a_filtered_pipe_cannot_be_resumed(interlaced):
    with open(interlaced(), "rb") as file, FilteredSource(VideoReader(file), "null") as opened:
        frames = opened.frames(F(1, 25), 1)
        with pytest.raises(BadInputError, match="cannot be resumed"):
            next(frames)


@pytest.mark.parametrize(
    "text, words",
    [
        ("nonsense=3", "no filter 'nonsense'"),
        ("hflip,crop=bad=1", "crop=bad=1: .*[Oo]ption"),
        ("hflip,,vflip", "between the commas is missing"),
        ("", "between the commas is missing"),
        ("split[a][b];[a]hflip", "one chain of filters"),
        ("color=red", "one video in and one out"),
        ("overlay", "one video in and one out"),
    ],
)
def test_wrong_chains_are_named(text, words):
    with pytest.raises(OptionError, match=words) as error:
        parse_filters(text)
    assert error.value.exit_code == 2 and "\n" not in str(error.value)


def test_quotes_are_ffmpegs():
    chain = parse_filters(r"select='eq(n\,1)', crop=32\:20 ,setpts='N/(25*TB)'")
    assert [str(f) for f in chain] == [r"select=eq(n\,1)", "crop=32:20", "setpts=N/(25*TB)"]


def test_filters_that_do_not_fit_are_named(write_video, make_frames):
    source = write_video("in.mp4", make_frames(4))
    with pytest.raises(OptionError, match=r"crop=999:999: .*64x48 yuv420p"):
        open_source(str(source), filters="crop=999:999")
    with pytest.raises(OptionError, match="no frame comes out"):
        open_source(str(source), filters="trim=start=9")
    with pytest.raises(OptionError, match="do not follow each other"):
        _read(source, "setpts=0")


def test_a_stopped_job_with_filters_resumes(
    write_video, make_frames, average, read_video, tmp_path
):
    """Also with a shutter, on a filter that remembers five frames."""
    frames = make_frames(140, 32, 48)
    frames[90:] = [255 - f for f in frames[90:]]
    source, target = str(write_video("in.mp4", frames, gop=20)), Target(multi=2)
    stop = StopRequest()
    hooks = Hooks(progress=lambda done, _: stop.set() if done > SEGMENT_FRAMES else None, stop=stop)
    options = {"shutter": 10.0, "preset": "ultrafast"}
    filters = "tmix=frames=5,crop=32:20"

    def run(name, hooks=None, **more):
        job = job_options(**options, **more)
        interpolate_video(source, tmp_path / name, average, target, job, hooks, filters=filters)
        return read_video(tmp_path / name)

    whole, times = run("whole.mp4")
    with pytest.raises(InterruptedRunError, match="--resume"):
        run("out.mp4", hooks)
    with pytest.raises(OutputError, match="other settings"):
        interpolate_video(
            source, tmp_path / "out.mp4", average, target, job_options(resume=True, **options)
        )
    rest, rest_times = run("out.mp4", resume=True)
    assert len(whole) == 280 and rest_times == times
    assert np.array_equal(rest, whole)
