"""Transparency is interpolated with the colors where the output holds it, else reported."""

import av
import cv2
import numpy as np
import pytest

from zoomin_d2 import Interpolator
from zoomin_d2.video import Hooks, JobOptions, Target, interpolate_video, open_source
from zoomin_d2.video.write.compare import Comparison
from zoomin_d2.video.write.encoder import EncodeOptions

MULTI = Target(multi=2)
ALPHAS = (64, 128, 192)


@pytest.fixture
def glass(tmp_path):
    """A folder of 3 images that grow more opaque at the left, and are opaque at the right."""
    folder = tmp_path / "glass"
    folder.mkdir()
    for i, alpha in enumerate(ALPHAS):
        image = np.full((48, 64, 4), (40, 80, 160, 255), np.uint8)
        image[:, :32, 3] = alpha
        cv2.imwrite(str(folder / f"{i}.png"), image)
    return folder


def _read(path):
    """(H, W, 4) RGBA, 8 bits, of every frame."""
    with open_source(path) as source:
        frames = []
        for frame in source.frames():
            image, alpha = source.to_rgb(frame.picture), source.to_alpha(frame.picture)
            if alpha is None:
                alpha = np.full(image.shape[:2], np.iinfo(image.dtype).max, image.dtype)
            rgba = np.dstack([image, alpha]).astype(float) / np.iinfo(image.dtype).max
            frames.append(rgba * 255)
        return frames


@pytest.mark.parametrize(
    "name, codec",
    [("out.webm", None), ("out.mkv", "vp9"), ("out.mov", "prores"), ("out.mkv", "ffv1")],
)
def test_videos_keep_it(tmp_path, glass, average, name, codec):
    options = JobOptions(encode=EncodeOptions(codec=codec))
    report = interpolate_video(glass, tmp_path / name, average, MULTI, options)
    assert (report.dropped, report.exit_code) == ([], 0)
    frames = _read(tmp_path / name)
    assert len(frames) == 6
    for frame, alpha in zip(frames, (64, 96, 128, 160, 192, 192)):
        assert abs(frame[:, :28, 3] - alpha).max() < 8
        assert frame[:, 36:, 3].min() > 250
        assert np.abs(frame[8:40, 8:24, :3].mean((0, 1)) - (160, 80, 40)).max() < 6
    again = interpolate_video(tmp_path / name, tmp_path / f"again-{name}", average, MULTI, options)
    assert again.dropped == []
    assert len(_read(tmp_path / f"again-{name}")) == 12


def test_images_keep_it(tmp_path, glass, average):
    report = interpolate_video(glass, tmp_path / "images", average, MULTI)
    assert (report.dropped, report.output_frames) == ([], 5)
    frames = _read(tmp_path / "images")
    assert [f[0, 0, 3] for f in frames] == [64, 96, 128, 160, 192]
    assert all((f[0, 0, :3] == (160, 80, 40)).all() for f in frames)
    pair = [glass / "0.png", glass / "1.png"]
    assert interpolate_video(pair, tmp_path / "middle.png", average, MULTI).dropped == []
    middle = cv2.imread(str(tmp_path / "middle.png"), cv2.IMREAD_UNCHANGED)
    assert middle[0, 0].tolist() == [40, 80, 160, 96]
    report = interpolate_video(pair, tmp_path / "middle.jpg", average, MULTI)
    assert "transparency" in report.dropped[0]


def test_transparent_pixels_lend_no_color(tmp_path, average):
    """Premultiplied: what cannot be seen has no say in the color between."""
    for i, pixel in enumerate([(0, 0, 255, 255), (255, 0, 0, 0)]):  # BGRA: red, unseen blue
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((32, 32, 4), pixel, np.uint8))
    pair = [tmp_path / "0.png", tmp_path / "1.png"]
    interpolate_video(pair, tmp_path / "middle.png", average, MULTI)
    middle = cv2.imread(str(tmp_path / "middle.png"), cv2.IMREAD_UNCHANGED)
    assert middle[0, 0].tolist() == [0, 0, 255, 128]


def test_a_gif_keeps_holes(tmp_path, average):
    folder = tmp_path / "holes"
    folder.mkdir()
    for i in range(3):
        image = np.full((32, 32, 4), (40, 80, 160, 255), np.uint8)
        image[:, 4 * i : 4 * i + 8, 3] = 0
        cv2.imwrite(str(folder / f"{i}.png"), image)
    report = interpolate_video(folder, tmp_path / "out.gif", average, MULTI)
    assert report.dropped == []
    frames = _read(tmp_path / "out.gif")
    for i in range(3):
        alpha = frames[2 * i][..., 3]
        assert (alpha[:, 4 * i : 4 * i + 8] == 0).all()
        assert (alpha[:, 4 * i + 8 :] == 255).all() and (alpha[:, : 4 * i] == 255).all()


@pytest.mark.parametrize("name", ["out.apng", "out.webp"])
def test_animated_images_keep_it(tmp_path, glass, average, name):
    report = interpolate_video(glass, tmp_path / name, average, MULTI)
    assert (report.dropped, report.output_frames) == ([], 6)
    frames = _read(tmp_path / name)
    for frame, alpha in zip(frames, (64, 96, 128, 160, 192, 192)):
        assert abs(frame[:, :28, 3] - alpha).max() < 4
        assert np.abs(frame[8:40, 8:24, :3].mean((0, 1)) - (160, 80, 40)).max() < 6
    with open_source(tmp_path / name) as source:
        times = [frame.time for frame in source.frames()]
        end = source.end
    ticks = [round(48 * float(t)) for t in [*times, end]]
    assert ticks == ([0, 1, 2, 3, 4, 6] if name == "out.webp" else list(range(7)))  # joins equals


def test_what_is_drawn_upon_is_opaque(tmp_path, glass, average):
    compare = Comparison("side", ("input", "result"))
    hooks = Hooks(decorate=compare, size=compare.size(48, 64))
    report = interpolate_video(glass, tmp_path / "out.webm", average, MULTI, hooks=hooks)
    assert "transparency" in report.dropped[0]
    assert report.exit_code == 9


def test_alpha_takes_the_flows_of_the_colors(tmp_path):
    """A disc moves; its alpha between lies where its color does, not where two discs fade."""
    yy, xx = np.mgrid[:64, :96]
    for i, center in enumerate((32, 48)):
        image = np.zeros((64, 96, 4), np.uint8)
        image[(yy - 32) ** 2 + (xx - center) ** 2 < 256] = (60, 120, 240, 255)
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
    pair = [tmp_path / "0.png", tmp_path / "1.png"]
    model = Interpolator.from_pretrained("fast", device="cpu")
    interpolate_video(pair, tmp_path / "middle.png", model, MULTI)
    middle = cv2.imread(str(tmp_path / "middle.png"), cv2.IMREAD_UNCHANGED)
    truth = (yy - 32) ** 2 + (xx - 40) ** 2 < 256
    assert np.abs(middle[..., 3] / 255 - truth).mean() < 0.01  # two that fade: 0.08
    seen = middle[..., 3] > 250
    assert np.abs(middle[seen][:, :3].astype(int) - (60, 120, 240)).mean() < 6


def test_opaque_sources_stay_opaque(tmp_path, write_video, make_frames, average):
    source = write_video("in.mkv", make_frames(4), codec="ffv1", pix_fmt="yuv444p")
    report = interpolate_video(source, tmp_path / "out.webm", average, MULTI)
    assert report.encoder == "libvpx-vp9 yuv444p"
    with av.open(str(tmp_path / "out.webm")) as out:
        assert "alpha_mode" not in {k.lower() for k in out.streams.video[0].metadata}
