"""What the source has in the output's pixel format stays as it is, sample by sample."""

import av
import numpy as np
import pytest

from zoomin_d2.video import JobOptions, StreamOptions, Target, interpolate_video
from zoomin_d2.video.read.planes import planes_of
from zoomin_d2.video.write.encoder import EncodeOptions

LOSSLESS = EncodeOptions(codec="ffv1")


def decoded(path) -> list[list[np.ndarray]]:
    with av.open(str(path)) as container:
        return [
            [array.copy() for array in planes_of(frame, False).arrays]
            for frame in container.decode(video=0)
        ]


def same(ours, theirs) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.fixture
def noise(tmp_path):
    """Write frames of random samples in any format, without a conversion. `still`: rows from 20 on
    are those of the first frame."""

    def write(pix_fmt, full_range, still=False, width=64, count=5):
        path = tmp_path / f"{pix_fmt}.mkv"
        rng = np.random.default_rng(0)
        with av.open(str(path), "w") as out:
            stream = out.add_stream("ffv1", rate=24)
            stream.width, stream.height, stream.pix_fmt = width, 48, pix_fmt
            stream.codec_context.color_range = 2 if full_range else 1
            first = None
            for i in range(count):
                picture = av.VideoFrame(width, 48, pix_fmt)
                planes = planes_of(picture, full_range)
                bits = 10 if "10" in pix_fmt else 8
                for k, array in enumerate(planes.arrays):
                    array[:] = rng.integers(0, 2**bits, array.shape)
                    if still and first is not None:
                        begin = 20 * array.shape[0] // 48
                        array[begin:] = first[k][begin:]
                first = first or [array.copy() for array in planes.arrays]
                picture.pts = i
                out.mux(stream.encode(picture))
            out.mux(stream.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("pix_fmt", "full_range"),
    [
        ("yuv420p", False),
        ("yuv420p", True),
        ("yuv420p10le", True),
        ("yuv422p10le", False),
        ("yuv444p", False),
    ],
)
def test_passed_frames_keep_every_bit(tmp_path, noise, average, pix_fmt, full_range):
    """Colors that RGB cannot hold survive, and so does chroma of every frequency."""
    source = noise(pix_fmt, full_range)
    options = JobOptions(encode=LOSSLESS, stream=StreamOptions(cut_threshold=None))
    interpolate_video(str(source), str(tmp_path / "out.mkv"), average, Target(multi=2), options)
    before, after = decoded(source), decoded(tmp_path / "out.mkv")
    assert len(after) == 10  # with the last one, held
    assert all(same(a, b) for a, b in zip(before, after[::2], strict=True))
    assert same(before[-1], after[-1]) and not same(before[0], after[1])


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
def test_still_parts_of_made_frames(tmp_path, noise, average, pix_fmt):
    source = noise(pix_fmt, False, still=True)
    options = JobOptions(encode=LOSSLESS, stream=StreamOptions(cut_threshold=None))
    interpolate_video(str(source), str(tmp_path / "out.mkv"), average, Target(multi=2), options)
    before, after = decoded(source)[0], decoded(tmp_path / "out.mkv")
    for made in after[1:9:2]:
        for ours, theirs in zip(made, before, strict=True):
            # the filter of chroma, and a neighborhood of 3 x 3, reach a few rows further
            begin = 28 * ours.shape[0] // 48
            assert np.array_equal(ours[begin:], theirs[begin:])
            assert not np.array_equal(ours[:begin], theirs[:begin])


def test_frames_across_a_cut_keep_every_bit(tmp_path, write_video, make_frames, average):
    frames = [*make_frames(4), *(255 - frame for frame in make_frames(4))]
    source = write_video("in.mkv", frames, codec="ffv1", pix_fmt="yuv420p")
    options = JobOptions(encode=LOSSLESS)
    report = interpolate_video(
        str(source), str(tmp_path / "out.mkv"), average, Target(multi=3), options
    )
    assert len(report.cuts) == 1
    before, after = decoded(source), decoded(tmp_path / "out.mkv")
    assert [same(after[k], before[3]) for k in (9, 10, 11)] == [True, True, False]
    assert [same(after[k], before[4]) for k in (11, 12)] == [True, True]


def test_others_go_through_rgb(tmp_path, write_video, make_frames, average, read_video):
    """4:2:0 as 4:4:4, and a phone's upright video."""
    source = write_video("in.mp4", make_frames(3), rotation=90)
    options = JobOptions(encode=EncodeOptions(codec="ffv1", pix_fmt="yuv444p"))
    interpolate_video(str(source), str(tmp_path / "out.mkv"), average, Target(multi=2), options)
    before, _ = read_video(source)
    after, _ = read_video(tmp_path / "out.mkv")
    assert after[0].shape == (64, 48, 3)
    turned = before[0] if before[0].shape == after[0].shape else np.rot90(before[0])
    assert np.abs(after[0].astype(int) - turned).max() <= 3
