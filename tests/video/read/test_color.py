"""Matrix, range and depth: a red patch through the whole path; tags carried."""

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import pytest

from zoomin_d2.video import JobOptions, Target, interpolate_video
from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read.color import path_for_images, small_yuv
from zoomin_d2.video.read.hdr import read_hdr_metadata
from zoomin_d2.video.read.reader import VideoReader
from zoomin_d2.video.write.encoder import EncodeOptions

LIMITED, FULL = 1, 2
# ITU-R BT.601, BT.709, BT.2020: luma of pure red, limited and full range (8 bit)
RED_LUMA = {
    (6, LIMITED): 81,
    (6, FULL): 76,
    (1, LIMITED): 63,
    (1, FULL): 54,
    (9, LIMITED): 74,
    (9, FULL): 67,
}


@pytest.mark.parametrize("matrix, color_range", RED_LUMA)
def test_a_red_patch_stays_red(tmp_path, write_video, average, read_video, matrix, color_range):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 255
    tags = (matrix, matrix if matrix != 9 else 14, matrix, color_range)
    source = write_video("in.mp4", [red] * 6, tags=tags)
    output = tmp_path / "out.mp4"
    interpolate_video(str(source), str(output), average, Target(multi=2))
    with av.open(str(output)) as out:
        context = out.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == tags[:3]
        assert context.color_range == color_range
        luma = [f.to_ndarray()[:48, :64] for f in out.decode(video=0)]
    assert np.abs(np.stack(luma).astype(int) - RED_LUMA[matrix, color_range]).max() <= 1
    frames, _ = read_video(output)
    assert np.abs(np.stack(frames).astype(int) - red).max() <= 3


@pytest.mark.parametrize("transfer", [16, 18])  # PQ (HDR10), HLG
def test_ten_bits_stay_ten_bits(tmp_path, write_video, average, read_video, transfer):
    # a ramp in steps that 8 bits do not have
    ramp = np.linspace(20_000, 24_000, 64).astype(np.uint16)
    frame = np.repeat(np.repeat(ramp[None, :, None], 48, 0), 3, 2)
    tags = (9, transfer, 9, LIMITED)
    source = write_video("in.mkv", [frame] * 8, codec="libx265", pix_fmt="yuv420p10le", tags=tags)
    output = tmp_path / "out.mkv"
    interpolate_video(str(source), str(output), average, Target(multi=2))
    with av.open(str(output)) as out:
        context = out.streams.video[0].codec_context
        assert context.pix_fmt == "yuv420p10le"
        assert (context.color_primaries, context.color_trc, context.colorspace) == tags[:3]
        luma = next(out.decode(video=0)).to_ndarray()[:48]
    assert len(np.unique(luma)) > 30  # 8 bits would leave about 15 levels
    before, _ = read_video(source)
    after, _ = read_video(output)
    assert after[1].dtype == np.uint16
    assert np.abs(np.stack(after[::2]).astype(int) - np.stack(before)).max() < 4 * 64


def test_untagged_video_stays_untagged(tmp_path, write_video, make_frames, average):
    source = write_video("in.mp4", make_frames(6))
    output = tmp_path / "out.mp4"
    interpolate_video(str(source), str(output), average, Target(multi=2))
    with av.open(str(output)) as out:
        context = out.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == (2, 2, 2)


@pytest.fixture
def with_matrix(write_video, make_frames, remux, tmp_path):
    """(matrix, primaries) -> a clip whose H.264 header says so."""

    def make(matrix, primaries=2):
        frames = make_frames(4)
        options = {"x264-params": f"colormatrix={matrix}:colorprim={primaries}"}
        return write_video("in.mp4", frames, encoder_options=options)

    return make


@pytest.mark.parametrize("matrix, name", [("YCgCo", "YCgCo"), ("ICtCp", "ICtCp")])
def test_matrices_that_nothing_converts(with_matrix, matrix, name):
    with pytest.raises(BadInputError, match=rf"colors are {name} \(matrix \d+\).*convert"):
        VideoReader(with_matrix(matrix))


@pytest.mark.parametrize(
    "primaries, matrix", [("bt709", 1), ("bt2020", 9), ("smpte170m", 7), ("undef", 5)]
)
def test_a_matrix_that_primaries_imply(with_matrix, primaries, matrix):
    with VideoReader(with_matrix("chroma-derived-nc", primaries)) as reader:
        assert reader.info.color.tags.matrix == 12
        assert int(reader.info.color.matrix) == matrix
        frame = next(reader.frames())
        assert reader.to_rgb(frame.picture).shape == (48, 64, 3)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_alpha_beside_the_packets_of_webm(tmp_path, average, codec):
    path = tmp_path / "in.webm"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options={"auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for i in range(6):
            image = np.full((48, 64, 4), (200, 100, 50, 255), np.uint8)
            image[:, :32, 3] = 255 if i < 3 else 64
            frame = av.VideoFrame.from_ndarray(image, format="rgba")
            out.mux(stream.encode(frame.reformat(format="yuva420p")))
        out.mux(stream.encode())
    with VideoReader(path) as reader:
        assert reader.info.has_alpha
        alphas = [reader.to_alpha(f.picture) for f in reader.frames()]
        assert reader.first_alpha == Fraction(3, 25)
    assert [round(a[:, 8].mean() / 16) for a in alphas] == [16] * 3 + [4] * 3
    assert all(a[:, 56].min() >= 250 for a in alphas)
    report = interpolate_video(str(path), str(tmp_path / "out.mp4"), average, Target(multi=2))
    assert report.dropped == ["transparency: the output has no alpha channel, first at 0.12 s"]


DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"  # P3, D65


@pytest.mark.parametrize("codec", ["h265", "av1", "h264"])
def test_mastering_display_is_kept(tmp_path, write_video, average, codec):
    frame = np.full((64, 64, 3), 20_000, np.uint16)
    parameters = f"log-level=none:master-display={DISPLAY}:max-cll=1000,400"
    source = write_video(
        "in.mkv",
        [frame] * 6,
        codec="libx265",
        pix_fmt="yuv420p10le",
        tags=(9, 16, 9, LIMITED),
        encoder_options={"x265-params": parameters, "preset": "ultrafast"},
    )
    output = tmp_path / "out.mkv"
    options = JobOptions(encode=EncodeOptions(codec=codec))
    report = interpolate_video(str(source), str(output), average, Target(multi=2), options)
    assert not report.warnings
    with av.open(str(output)) as out:
        hdr = read_hdr_metadata(next(out.decode(video=0)))
    points, luminance = hdr.display
    expected = [(0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.3127, 0.329)]
    assert np.allclose(points, expected, atol=1e-3)
    assert np.allclose(luminance, (0.005, 1000), rtol=0.05)
    assert hdr.light == (1000, 400)


def test_mastering_data_that_is_lost_is_told(tmp_path, write_video, average):
    frame = np.full((64, 64, 3), 20_000, np.uint16)
    parameters = {"x265-params": "log-level=none:max-cll=1000,400"}
    source = write_video(
        "in.mkv", [frame] * 3, codec="libx265", pix_fmt="yuv420p10le", encoder_options=parameters
    )
    options = JobOptions(encode=EncodeOptions(codec="prores"))
    report = interpolate_video(
        str(source), str(tmp_path / "out.mov"), average, Target(multi=2), options
    )
    assert any("mastering data" in warning for warning in report.warnings)


def test_threads_may_convert_the_same_frame():
    """As with a loop of few frames; PyAV's own conversion crashes."""
    frame = av.VideoFrame(320, 180, "yuv420p")
    for plane in frame.planes:
        plane.update(np.arange(plane.buffer_size).astype(np.uint8))
    path = path_for_images(180, False)
    expected = path.to_rgb(frame), small_yuv(frame, 32, 18)
    with ThreadPoolExecutor(3) as pool:
        images = [pool.submit(path.to_rgb, frame) for _ in range(20)]
        smalls = [pool.submit(small_yuv, frame, 32, 18) for _ in range(20)]
    assert all(np.array_equal(x.result(), expected[0]) for x in images)
    assert all(np.array_equal(x.result(), expected[1]) for x in smalls)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_every_orientation(write_video, read_video, degrees, mirrored):
    """Turned counterclockwise, then mirrored, as some cameras write it."""
    image = np.zeros((32, 64, 3), np.uint8)
    image[:16, :16] = 255
    source = write_video("in.mp4", [image] * 2, rotation=(degrees, mirrored))
    expected = np.rot90(image, degrees // 90)
    expected = expected[:, ::-1] if mirrored else expected
    shown = read_video(source)[0][0]
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).mean() < 4
