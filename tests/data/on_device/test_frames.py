"""zoomin_d2.data.on_device.frames and area_crops: the samples that worker processes would make."""

import itertools
import logging

import cv2
import numpy as np
import pytest
import torch

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.data import CorruptFrameError, build_interpolation_train_loader
from zoomin_d2.data.on_device import frames as device_frames_module
from zoomin_d2.data.on_device.area_crops import area_crops, area_crops_on
from zoomin_d2.data.on_device.frames import DeviceFrames

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.needs_gpu)]


@pytest.fixture
def cfg():
    cfg = get_zoomin_cfg()
    cfg.SEED = 7
    cfg.DATASETS.TRAIN = ("stream_clips",)
    cfg.MODEL.DEVICE = "cpu"
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.CROP_SIZE = [16, 24]
    cfg.INPUT.FRAME_SPACING = [1, 2]
    cfg.INPUT.ARBITRARY_T = True
    cfg.INPUT.SCALE_RANGE = [0.6, 1.0]
    cfg.INPUT.FLIP_VERTICAL_PROB = 0.5
    cfg.INPUT.TRANSPOSE_PROB = 0.5
    return cfg


@pytest.fixture
def clips(make_noise_clip, make_hr_clip, register):
    image = np.random.default_rng(0).integers(0, 256, (96, 120, 3), np.uint8)
    records = [make_noise_clip(9, 40, 48, "a"), make_hr_clip(image, 2, 6)]
    register("stream_clips", [*records, make_noise_clip(5, 44, 40, "b"), records[1]])
    return records


@pytest.fixture
def make_noise_clip(tmp_path):
    def make(num_frames: int, height: int, width: int, name: str) -> dict:
        rng = np.random.default_rng(num_frames)
        path = tmp_path / f"{name}.npy"
        np.save(path, rng.integers(0, 256, (num_frames, height, width, 3), np.uint8))
        frames = [(str(path), i) for i in range(num_frames)]
        return {"file_name": name, "frames": frames, "height": height, "width": width}

    return make


def take(cfg, num_batches: int = 12) -> list[dict]:
    loader = build_interpolation_train_loader(cfg)
    return [x for batch in itertools.islice(iter(loader), num_batches) for x in batch]


# --- area_crops ------------------------------------------------------------------------------


def crop_of(image: torch.Tensor, start, strides, extents, size, num_taps):
    arguments = [torch.tensor([x]) for x in (start, strides, extents)]
    return area_crops(image.view(-1, 3), *arguments, size, num_taps)[0]


def test_pixels_covered_in_part():
    # Three pixels become two: (2 * a + b) / 3 and (b + 2 * c) / 3, in all channels.
    image = torch.tensor([30, 60, 120], dtype=torch.uint8)[:, None].repeat(1, 3)
    crop = crop_of(image, 0, [3, 1], [1, 3], (1, 2), 3)
    assert crop.tolist() == [[[40, 100]]] * 3


def test_halves_go_up():
    image = torch.tensor([10, 11, 20, 20], dtype=torch.uint8)[:, None].repeat(1, 3)
    assert crop_of(image, 0, [4, 1], [1, 4], (1, 2), 3)[0].tolist() == [[11, 20]]


@pytest.mark.parametrize("device", DEVICES)
def test_of_every_size_nothing_is_lost(device):
    """i * size * (1 / size) may be less than i: then one pixel for one found the pixel before."""
    for size in (82, 328, 752):
        row = torch.arange(size, device=device).remainder(255).add(1).to(torch.uint8)
        pixels = row[:, None].repeat(1, 3)
        numbers = [torch.tensor([x], device=device) for x in (0, [size, 1], [1, size])]
        crop = area_crops_on(device)(pixels, *numbers, (1, size), 1)
        assert torch.equal(crop[0, 0, 0], row)


def test_strides_transpose_and_flip():
    image = torch.randint(0, 256, (5, 7, 3), dtype=torch.uint8)
    planes = image.permute(2, 0, 1)
    part = planes[:, 1:4, 2:6]  # 3 x 4
    first = 1 * 7 + 2
    cases = [
        (first, [7, 1], [3, 4], part),
        (first, [1, 7], [4, 3], part.transpose(1, 2)),
        (first + 3, [7, -1], [3, 4], part.flip(2)),
        (first + 2 * 7, [-7, 1], [3, 4], part.flip(1)),
        (first + 3 + 2 * 7, [-1, -7], [4, 3], part.transpose(1, 2).flip(1, 2)),
    ]
    for start, strides, extents, expected in cases:
        for num_taps in (1, 3):
            crop = crop_of(image, start, strides, extents, tuple(extents), num_taps)
            assert torch.equal(crop, expected)


# --- the stream ------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_samples_are_those_that_workers_make(cfg, clips, device, num_workers):
    expected = take(cfg)
    cfg.DATALOADER.FRAMES_ON_DEVICE = True
    cfg.DATALOADER.NUM_WORKERS = num_workers
    cfg.MODEL.DEVICE = device
    samples = take(cfg)
    num_values = num_differences = 0
    for sample, other in zip(samples, expected, strict=True):
        assert sample.keys() == other.keys()
        for key, value in other.items():
            if not torch.is_tensor(value):
                assert sample[key] == value
                continue
            assert sample[key].device.type == device
            assert sample[key].shape == value.shape and sample[key].dtype == torch.uint8
            difference = (sample[key].cpu().int() - value.int()).abs()
            assert difference.max() <= 1  # OpenCV adds up in another order
            num_values += value.numel()
            num_differences += int(difference.sum())
    assert num_differences < num_values / 1000
    assert {sample["height"] for sample in samples} == {16}
    assert sum("frame_t_hr" in sample for sample in samples) > 5


def test_bytes_without_downscaling(cfg, clips):
    cfg.INPUT.SCALE_RANGE = [1.0, 1.0]
    expected = take(cfg, 4)
    cfg.DATALOADER.FRAMES_ON_DEVICE = True
    for sample, other in zip(take(cfg, 4), expected, strict=True):
        assert all(torch.equal(sample[k], other[k]) for k in ("frame_1", "frame_t", "frame_2"))


def test_a_batch_needs_no_stacking(cfg, clips):
    cfg.DATALOADER.FRAMES_ON_DEVICE = True
    batch = next(iter(build_interpolation_train_loader(cfg)))
    whole = batch.whole("frame_1")
    assert whole.shape == (4, 3, 16, 24)
    assert all(x["frame_1"].data_ptr() == row.data_ptr() for x, row in zip(batch, whole))


def test_unwanted_partners_are_not_kept(cfg, clips):
    device = torch.device("cpu")
    with_them, without = (DeviceFrames(clips, device, x).pixels.shape[0] for x in (True, False))
    assert without == 9 * 40 * 48 + 6 * 48 * 60
    assert with_them == without + 6 * 96 * 120


def test_images_are_kept_one_by_one(cfg, register, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    names = [str(tmp_path / f"{i}.png") for i in range(3)]
    for i, name in enumerate(names):
        cv2.imwrite(name, image + np.uint8(i))
    record = {"file_name": "images", "frames": names, "height": 40, "width": 48}
    register("stream_clips", [record])
    cfg.INPUT.FRAME_SPACING = [1, 1]
    cfg.INPUT.SCALE_RANGE = [1.0, 1.0]
    expected = take(cfg, 2)
    cfg.DATALOADER.FRAMES_ON_DEVICE = True
    for sample, other in zip(take(cfg, 2), expected, strict=True):
        assert torch.equal(sample["frame_t"], other["frame_t"])


def test_views_and_files_in_another_order(cfg, clips, tmp_path, monkeypatch):
    """As rotated videos give them, and as numpy may have saved them."""
    path = tmp_path / "a.npy"
    np.save(path, np.asfortranarray(np.load(path)))
    cfg.INPUT.SCALE_RANGE = [1.0, 1.0]
    expected = take(cfg, 3)
    open_shot = device_frames_module.open_shot
    monkeypatch.setattr(
        device_frames_module, "open_shot", lambda file: open_shot(file)[:, ::-1].copy()[:, ::-1]
    )
    cfg.DATALOADER.FRAMES_ON_DEVICE = True
    for sample, other in zip(take(cfg, 3), expected, strict=True):
        assert torch.equal(sample["frame_t"], other["frame_t"])


def test_frame_past_the_end_of_its_shot(clips):
    frames = DeviceFrames(clips, torch.device("cpu"), False)
    file_name = clips[0]["frames"][0][0]
    assert frames.locations.start((file_name, 8), 40 * 48) == 8 * 40 * 48
    with pytest.raises(CorruptFrameError, match="no frame 9, only 9"):
        frames.locations.start((file_name, 9), 40 * 48)


def test_one_bad_image_leaves_the_others(tmp_path):
    image = np.zeros((40, 48, 3), np.uint8)
    names = [str(tmp_path / f"{i}.png") for i in range(4)]
    for name in names:
        cv2.imwrite(name, image)
    (tmp_path / "2.png").write_bytes(b"no image")
    record = {"file_name": "images", "frames": names, "height": 40, "width": 48}
    locations = DeviceFrames([record], torch.device("cpu"), False).locations
    assert locations.start(names[3], 40 * 48) == 3 * 40 * 48
    with pytest.raises(CorruptFrameError, match=r"2\.png"):
        locations.start(names[2], 40 * 48)


@pytest.mark.parametrize("damage", ["missing", "another size"])
def test_damaged_clip_is_replaced_everywhere(cfg, clips, tmp_path, caplog, damage):
    path = tmp_path / "a.npy"
    path.unlink()
    if damage == "another size":
        np.save(path, np.zeros((9, 20, 20, 3), np.uint8))
    expected = take(cfg, 4)
    cfg.DATALOADER.FRAMES_ON_DEVICE = True
    with caplog.at_level(logging.WARNING):
        samples = take(cfg, 4)
    assert [x["file_name"] for x in samples] == [x["file_name"] for x in expected]
    assert [x["num_skipped"] for x in samples] == [x["num_skipped"] for x in expected]
    assert sum(x["num_skipped"] for x in samples) > 0
    assert "a.npy" in caplog.text


def test_frames_too_many_for_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10_000_000_000, 80_000_000_000))
    check, gpu = device_frames_module._check_memory, torch.device("cuda")
    check(6_900_000_000, gpu)
    with pytest.raises(
        ValueError, match=r"FRAMES_ON_DEVICE.*7\.1 GB.*10\.0 GB.* free .*--short-side"
    ):
        check(7_100_000_000, gpu)
