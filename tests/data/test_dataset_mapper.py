import cv2
import numpy as np
import pytest
import torch

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.data import CorruptFrameError, InterpolationDatasetMapper
from zoomin_d2.data.packing import box_average


def train_mapper(**changes) -> InterpolationDatasetMapper:
    settings = {"is_train": True, "crop_size": (16, 24)}
    return InterpolationDatasetMapper(**{**settings, **changes})


def to_image(tensor: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.permute(1, 2, 0).numpy())


def value(tensor: torch.Tensor) -> int:
    """The one value of a frame of `make_clip`, which is its index in the clip."""
    assert tensor.min() == tensor.max()
    return int(tensor[0, 0, 0])


def test_sample_has_the_keys_of_the_contract(make_clip):
    sample = train_mapper()(make_clip(3), np.random.default_rng(0))
    assert set(sample) == {"frame_1", "frame_t", "frame_2", "t", "file_name", "height", "width"}
    for key in ("frame_1", "frame_t", "frame_2"):
        assert sample[key].shape == (3, 16, 24) and sample[key].dtype == torch.uint8
    assert (sample["height"], sample["width"], sample["t"]) == (16, 24, 0.5)
    assert [value(sample[k]) for k in ("frame_1", "frame_t", "frame_2")] == [0, 1, 2]


def test_same_generator_same_sample(make_hr_clip):
    record = make_hr_clip(np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8), 2, 9)
    mapper = train_mapper(
        flip_horizontal_prob=0.5,
        flip_vertical_prob=0.5,
        transpose_prob=0.5,
        time_reversal_prob=0.5,
        scale_range=(0.7, 1.0),
        frame_spacing=(1, 3),
    )
    names = set()
    for seed in range(8):
        first = mapper(record, np.random.default_rng(seed))
        second = mapper(record, np.random.default_rng(seed))
        assert first.keys() == second.keys()
        for key, item in first.items():
            assert torch.equal(item, second[key]) if torch.is_tensor(item) else item == second[key]
        names.add(first["file_name"])
    assert len(names) > 4


# --- windows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [1, 2, 4])
def test_spacing_in_frames(make_clip, spacing):
    mapper, record = train_mapper(frame_spacing=(spacing, spacing)), make_clip(12)
    firsts = set()
    for seed in range(60):
        sample = mapper(record, np.random.default_rng(seed))
        first, middle, last = (value(sample[k]) for k in ("frame_1", "frame_t", "frame_2"))
        assert (middle - first, last - middle) == (spacing, spacing)
        firsts.add(first)
    assert firsts == set(range(12 - 2 * spacing))  # every window of the clip comes up


@pytest.mark.parametrize(
    ("fps", "spacing_ms", "frames"),
    [
        (24, 40, 1),  # 0.96 frames
        (60, 40, 2),  # 2.4 frames
        (24, 83, 2),  # 1.992 frames
        (60, 83, 5),  # 4.98 frames
        (24, 5, 1),  # 0.12 frames, but at least one
    ],
)
def test_spacing_in_ms(make_clip, fps, spacing_ms, frames):
    mapper = train_mapper(frame_spacing=(spacing_ms, spacing_ms), frame_spacing_unit="ms")
    sample = mapper(make_clip(12, fps=fps), np.random.default_rng(0))
    assert value(sample["frame_t"]) - value(sample["frame_1"]) == frames
    assert value(sample["frame_2"]) - value(sample["frame_t"]) == frames
    assert sample["t"] == 0.5


def test_spacing_is_limited_by_the_clip(make_clip):
    mapper, record = train_mapper(frame_spacing=(1, 9)), make_clip(5)
    spacings = set()
    for seed in range(30):
        sample = mapper(record, np.random.default_rng(seed))
        spacings.add(value(sample["frame_t"]) - value(sample["frame_1"]))
    assert spacings == {1, 2}


@pytest.mark.parametrize("reversal", [0.0, 1.0])
def test_any_t_is_the_place_of_the_frame(make_clip, reversal):
    mapper = train_mapper(frame_spacing=(3, 3), arbitrary_t=True, time_reversal_prob=reversal)
    record, times = make_clip(30), set()
    for seed in range(80):
        sample = mapper(record, np.random.default_rng(seed))
        first, middle, last = (value(sample[k]) for k in ("frame_1", "frame_t", "frame_2"))
        assert last - first == (6 if reversal == 0 else -6)
        assert middle == pytest.approx(first + sample["t"] * (last - first))
        assert 0 < sample["t"] < 1
        times.add(round(sample["t"] * 6))
    assert times == {1, 2, 3, 4, 5}


def test_time_reversal_mirrors_t(make_clip):
    settings = {"frame_spacing": (2, 2), "arbitrary_t": True}
    forward = train_mapper(**settings)
    backward = train_mapper(**settings, time_reversal_prob=1.0)
    record = make_clip(9)
    for seed in range(10):
        one = forward(record, np.random.default_rng(seed))
        two = backward(record, np.random.default_rng(seed))
        assert two["t"] == 1 - one["t"]
        assert torch.equal(one["frame_1"], two["frame_2"])
        assert torch.equal(one["frame_2"], two["frame_1"])
        assert torch.equal(one["frame_t"], two["frame_t"])


# --- geometry --------------------------------------------------------------------------------

EVERYTHING = {"flip_horizontal_prob": 0.5, "flip_vertical_prob": 0.5, "transpose_prob": 0.5}


def checkerboard(height: int, width: int, cell: int = 3) -> np.ndarray:
    """Cells of 3 pixels do not fit the 4x4 blocks, and each has its own colour: a shift of one
    pixel, a flip or a transposition is seen everywhere."""
    rows, columns = np.arange(height) // cell, np.arange(width) // cell
    black_white = ((rows[:, None] + columns[None]) % 2 * 200)[..., None]
    colours = np.random.default_rng(5).integers(0, 56, (rows[-1] + 1, columns[-1] + 1, 3))
    return (black_white + colours[rows][:, columns]).astype(np.uint8)


def test_high_resolution_crop_is_aligned(make_hr_clip):
    record = make_hr_clip(checkerboard(160, 200), scale=4)
    mapper = train_mapper(**EVERYTHING)
    seen = set()
    for seed in range(24):
        sample = mapper(record, np.random.default_rng(seed))
        assert sample["hr_scale"] == 4
        assert sample["frame_t_hr"].shape == (3, 64, 96)
        low = box_average(to_image(sample["frame_t_hr"]), 4)
        assert np.array_equal(low, to_image(sample["frame_t"]))
        seen.add(low.tobytes())
    assert len(seen) > 20  # the crops really differ


def test_hr_crop_is_aligned_when_halved(make_hr_clip):
    record = make_hr_clip(checkerboard(320, 400), scale=4)
    mapper = train_mapper(**EVERYTHING, scale_range=(0.5, 0.5))
    for seed in range(12):
        sample = mapper(record, np.random.default_rng(seed))
        assert sample["frame_t_hr"].shape == (3, 64, 96)
        low = box_average(to_image(sample["frame_t_hr"]), 4).astype(int)
        # the same mean of 8x8 pixels, once rounded at 4x4 and once at 2x2 in between
        assert np.abs(low - to_image(sample["frame_t"])).max() <= 1


def test_hr_crop_is_aligned_at_any_scale(make_hr_clip):
    ramp = np.zeros((128, 128, 3), np.uint8)
    ramp[..., 0] = 2 * np.arange(128)[None]  # a shift by one pixel is two levels
    ramp[..., 1] = 2 * np.arange(128)[:, None]
    record = make_hr_clip(ramp, scale=4)
    mapper = train_mapper(crop_size=(16, 16), **EVERYTHING, scale_range=(0.55, 0.95))
    for seed in range(12):
        sample = mapper(record, np.random.default_rng(seed))
        low = box_average(to_image(sample["frame_t_hr"]), 4).astype(int)
        assert np.abs(low - to_image(sample["frame_t"])).max() <= 1


def test_downscaling_averages_areas(make_hr_clip):
    record = make_hr_clip(checkerboard(64, 96), scale=2)  # low frames of 32x48
    sample = train_mapper(scale_range=(0.5, 0.5))(record, np.random.default_rng(0))
    whole = np.load(record["frames"][0][0])[0]  # half size, and the crop is the whole frame
    assert np.array_equal(to_image(sample["frame_1"]), box_average(whole, 2))


@pytest.mark.parametrize(
    ("probabilities", "undo"),
    [
        ({"flip_horizontal_prob": 1.0}, lambda x: x[:, ::-1]),
        ({"flip_vertical_prob": 1.0}, lambda x: x[::-1]),
        ({"transpose_prob": 1.0}, lambda x: x.swapaxes(0, 1)),
        (
            {"transpose_prob": 1.0, "flip_horizontal_prob": 1.0},
            lambda x: x[:, ::-1].swapaxes(0, 1),
        ),
    ],
)
def test_flips_and_transposition(make_hr_clip, probabilities, undo):
    record = make_hr_clip(checkerboard(96, 96), scale=2)
    mapper = train_mapper(crop_size=(48, 48), **probabilities)
    sample = mapper(record, np.random.default_rng(0))
    whole = np.load(record["frames"][0][0])[0]
    for key in ("frame_1", "frame_t", "frame_2"):
        assert np.array_equal(undo(to_image(sample[key])), whole)


def test_high_resolution_can_be_left_out(make_hr_clip):
    record = make_hr_clip(checkerboard(96, 96), scale=2)
    sample = train_mapper(high_resolution=False)(record, np.random.default_rng(0))
    assert "frame_t_hr" not in sample and "hr_scale" not in sample


# --- records that do not fit -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "clip", "words"),
    [
        ({"crop_size": (41, 24)}, {}, ["48x40", "24x41", "INPUT.CROP_SIZE"]),
        ({"crop_size": (24, 44), "transpose_prob": 0.5}, {}, ["24x44", "INPUT.CROP_SIZE"]),
        ({"frame_spacing": (2, 3)}, {}, ["3 frames", "needs 5", "INPUT.FRAME_SPACING"]),
        ({"frame_spacing": (40, 40), "frame_spacing_unit": "ms"}, {}, ["frame rate"]),
        (
            {"frame_spacing": (40, 40), "frame_spacing_unit": "ms"},
            {"fps": 60.0},
            ["spacing of 2 frames"],
        ),
    ],
)
def test_unfit_records_are_named(make_clip, settings, clip, words):
    mapper, record = train_mapper(**settings), make_clip(3, **clip)
    with pytest.raises(ValueError, match=r"^clip: ") as error:
        mapper(record, np.random.default_rng(0))
    for word in words:
        assert word in str(error.value)
    assert str(error.value) == f"clip: {mapper.problem_with(record)}"


def test_fit_record_has_no_problem(make_clip):
    assert train_mapper(crop_size=(40, 48)).problem_with(make_clip(3)) is None


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"frame_spacing_unit": "seconds"}, "FRAME_SPACING_UNIT"),
        ({"frame_spacing": (2, 1)}, "FRAME_SPACING"),
        ({"frame_spacing": (0, 1)}, "FRAME_SPACING"),
        ({"frame_spacing": (1.5, 2)}, "FRAME_SPACING"),
        ({"scale_range": (0.5, 1.5)}, "SCALE_RANGE"),
    ],
)
def test_wrong_settings_are_named(settings, key):
    with pytest.raises(ValueError, match=f"INPUT.{key}"):
        train_mapper(**settings)


# --- test mode -------------------------------------------------------------------------------


def test_test_mode_gives_frames_and_mask(make_clip, tmp_path):
    mask = np.zeros((40, 48), np.uint8)
    mask[:10] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    record = make_clip(3, mask_file_name=str(tmp_path / "mask.png"))
    sample = InterpolationDatasetMapper(get_zoomin_cfg(), is_train=False)(record)
    assert [value(sample[k]) for k in ("frame_1", "frame_t", "frame_2")] == [0, 1, 2]
    assert sample["frame_t"].shape == (3, 40, 48)
    assert (sample["t"], sample["file_name"]) == (0.5, "clip")
    assert sample["mask"].dtype == torch.bool
    assert sample["mask"][:10].all() and not sample["mask"][10:].any()


def test_test_mode_takes_one_size(make_clip):
    mapper = InterpolationDatasetMapper(get_zoomin_cfg(), is_train=False)
    with pytest.raises(ValueError, match="has 5 frames"):
        mapper(make_clip(5))
    record = make_clip(3)
    record["frames"][2] = make_clip(3, height=38, name="other")["frames"][2]
    with pytest.raises(CorruptFrameError, match=r"other\.npy"):
        mapper(record)


def test_mapper_reads_the_config(make_clip):
    cfg = get_zoomin_cfg()
    cfg.INPUT.CROP_SIZE = [8, 12]
    cfg.INPUT.FRAME_SPACING = [2, 2]
    cfg.INPUT.TIME_REVERSAL_PROB = 1.0
    sample = InterpolationDatasetMapper(cfg)(make_clip(5), np.random.default_rng(0))
    assert sample["frame_t"].shape == (3, 8, 12)
    assert [value(sample[k]) for k in ("frame_1", "frame_t", "frame_2")] == [4, 2, 0]
