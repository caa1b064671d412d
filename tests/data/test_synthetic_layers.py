"""Synthetic layers and samples in zoomin_d2.data: true middle frames, a stream as before."""

import itertools

import numpy as np
import pytest
import torch

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.data import build_interpolation_train_loader
from zoomin_d2.data.layer_painting import (
    CUT_TO_BARS,
    CUT_TO_TEXT,
    Layer,
    glyph_cells,
    pack_pixels,
    paint_layer,
)
from zoomin_d2.data.synthetic_layers import NUM_DRAWS, NUM_LAYERS, draw_layers, layered_triplets

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.needs_gpu)]
FRAMES = ("frame_1", "frame_t", "frame_2")


@pytest.fixture
def stills():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, 20, 28), dtype=torch.uint8, generator=generator)


@pytest.fixture
def draws():
    return torch.from_numpy(np.random.default_rng(1).random((3, NUM_DRAWS), np.float32))


def plain_layer(stills: torch.Tensor, is_background: bool = True, **fields) -> Layer:
    """A layer for each still: the still as it is, at rest."""
    height, width = stills.shape[-2:]
    layer = drawn_layer(stills, torch.zeros(len(stills), NUM_DRAWS), 0 if is_background else 1)
    fields = {"zoom": 1, "still_x": (width - 1) / 2, "still_y": (height - 1) / 2} | fields
    fields = {"center_x": (width - 1) / 2, "center_y": (height - 1) / 2} | fields
    filled = {k: torch.full_like(getattr(layer, k), v) for k, v in fields.items()}
    return layer._replace(**filled)


def drawn_layer(stills: torch.Tensor, draws: torch.Tensor, which: int) -> Layer:
    layers = draw_layers(draws, len(stills), tuple(stills.shape[-2:]))
    return Layer(*(x[:, which] for x in layers))


def paint(stills, layer, *times, canvas=None) -> torch.Tensor:
    """(T, N, 3, H, W)"""
    glyphs = glyph_cells(torch.device("cpu"))
    times = torch.tensor(times).expand(len(stills), -1)
    planes = paint_layer(canvas, pack_pixels(stills), glyphs, layer, times)
    return torch.stack(planes, 2).transpose(0, 1)


def stripes(layer: Layer, **fields) -> Layer:
    ones = torch.ones_like(layer.stripes)
    layer = layer._replace(stripes=ones, checkers=0 * ones, grid=0 * ones, text=0 * ones)
    colors = {x: 255 * ones if "light" in x else 0 * ones for x in Layer._fields[-6:]}
    layer = layer._replace(**colors, pattern_share=ones)
    return layer._replace(**{k: v * ones for k, v in fields.items()})


# --- motion ----------------------------------------------------------------------------------


def test_a_still_background_is_the_still(stills):
    first, last = paint(stills, plain_layer(stills), 0.0, 1.0)
    assert torch.equal(first, stills.float()) and torch.equal(last, first)


def test_a_whole_translation_shifts_pixels(stills):
    first, middle, last = paint(stills, plain_layer(stills, motion_x=4, motion_y=-2), 0.0, 0.5, 1.0)
    assert torch.equal(middle, stills.float())
    # At time 1 the still lies 2 to the right and 1 up of where it is at time 0.5.
    assert torch.equal(last[..., :-1, 2:], middle[..., 1:, :-2])
    assert torch.equal(first[..., 1:, :-2], middle[..., :-1, 2:])


def test_a_still_is_mirrored_at_its_border(stills):
    last = paint(stills, plain_layer(stills, motion_x=4), 1.0)[0]
    assert torch.equal(last[..., :2], stills[..., :2].flip(-1).float())


def test_a_quarter_turn(stills):
    square = stills[..., :20].contiguous()
    turned = paint(square, plain_layer(square, spin=np.pi), 1.0)[0]
    # From x towards y, which points down: the left column becomes the upper row.
    expected = square.float().rot90(-1, (2, 3))
    assert (turned - expected).abs().max() < 0.1


def test_reversed_motion_swaps_the_frames(stills, draws):
    layer = drawn_layer(stills, draws, 0)
    back = {k: -getattr(layer, k) for k in ("motion_x", "motion_y", "spin", "growth")}
    first, middle, last = paint(stills, layer, 0.0, 0.5, 1.0)
    assert (first - last).abs().mean() > 1
    other = paint(stills, layer._replace(**back), 0.0, 0.5, 1.0)
    assert all(map(torch.equal, (last, middle, first), other))


def test_any_time_ends_a_slower_motion(stills, draws):
    for which in (0, 1):
        layer = drawn_layer(stills, draws, which)
        slow = {k: 0.5 * getattr(layer, k) for k in ("motion_x", "motion_y", "spin", "growth")}
        canvas = [torch.full((3, 1, 20, 28), 50.0)] * 3 if which else None
        at_three_quarters = paint(stills, layer, 0.75, canvas=canvas)
        end = paint(stills, layer._replace(**slow), 1.0, canvas=canvas)
        assert torch.allclose(at_three_quarters, end, atol=1e-2)


@pytest.mark.parametrize(
    "draw, distance", [(0.1, 0), (0.15, 0), (0.4, 8), (0.9, 25), (0.99999, 40)]
)
def test_speeds(draw, distance):
    draws = torch.full((1, NUM_DRAWS), draw)
    for size, share in (((224, 300), 1.0), ((112, 300), 0.5)):
        layers = draw_layers(draws, 1, size)
        moved = torch.hypot(layers.motion_x, layers.motion_y)
        assert moved.shape == (1, NUM_LAYERS)
        assert moved[0].tolist() == pytest.approx([share * distance] * NUM_LAYERS, abs=0.01)


# --- patterns and shapes ---------------------------------------------------------------------


def test_stripes_have_their_period_and_duty(stills):
    layer = stripes(plain_layer(stills, center_x=0), period_x=4, duty=0.5)
    row = paint(stills, layer, 0.5)[0, 0, 0, 10]
    # Light from 1 to 3 of every 4 pixels' distance: half of the pixels on its edges.
    assert row[:8].tolist() == [0, 127.5, 255, 127.5] * 2


def shape_of(stills, time=0.5, **fields) -> torch.Tensor:
    """Coverage (H, W) of a layer of a white still on a black canvas."""
    white = torch.full_like(stills[:1], 255)
    layer = plain_layer(white, is_background=False, **{"turn": 0, "aspect": 1, "cut": 0} | fields)
    return paint(white, layer, time, canvas=[torch.zeros(1, 1, 20, 28)] * 3)[0, 0, 0] / 255


def test_a_disk_has_its_area(stills):
    disk = shape_of(stills, radius=6, ripple=0, wall=-1, softness=1)
    assert disk.sum().item() == pytest.approx(np.pi * 36, rel=0.02)
    assert disk.max() == 1 and disk[0, 0] == 0 and ((disk > 0) & (disk < 1)).any()


def test_growth_is_of_the_scales_logarithm(stills):
    # By a factor of 4: half as large at time 0, twice as large at time 1.
    disk = {"radius": 4, "ripple": 0, "wall": -1, "softness": 1, "growth": np.log(4)}
    first, middle, last = (shape_of(stills, time, **disk).sum().item() for time in (0, 0.5, 1))
    assert first == pytest.approx(middle / 4, rel=0.05)
    assert last == pytest.approx(middle * 4, rel=0.05)


def test_a_square_has_its_area(stills):
    square = shape_of(stills, radius=5, ripple=-1, corners=4, wall=-1, softness=1, turn=0.3)
    assert square.sum().item() == pytest.approx(100, rel=0.03)


def test_a_ring_is_hollow(stills):
    ring = shape_of(stills, radius=8, ripple=0, wall=1, softness=1)
    assert ring.sum().item() == pytest.approx(np.pi * (64 - 36), rel=0.03)
    assert ring[9:11, 13:15].max() == 0


def test_a_soft_edge_is_wide(stills):
    soft = shape_of(stills, radius=6, ripple=0, wall=-1, softness=8)
    assert ((soft > 0.02) & (soft < 0.98)).sum() > 150


def test_no_opacity_is_no_layer(stills):
    assert shape_of(stills, radius=6, ripple=0, opacity=0).sum() == 0


def test_bars_and_text_cover_less(stills):
    whole = {"radius": 9, "ripple": 0, "wall": -1, "softness": 1}
    bars = shape_of(stills, cut=CUT_TO_BARS, period_x=6, duty=0.5, **whole).sum()
    text = shape_of(stills, cut=CUT_TO_TEXT, letter_zoom=1.5, **whole).sum()
    disk = shape_of(stills, **whole).sum()
    assert bars.item() == pytest.approx(disk.item() / 2, rel=0.1)
    assert 0 < text < disk / 2


# --- triplets --------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_without_speed_all_frames_are_equal(stills, draws, device):
    draws.view(3, NUM_LAYERS, -1)[..., 0] = 0
    t = torch.tensor([0.2, 0.5, 0.9])
    first, middle, last = layered_triplets(*(x.to(device) for x in (stills, draws, t)))
    assert first.shape == (3, 3, 20, 28) and first.dtype == torch.uint8
    assert torch.equal(first, middle) and torch.equal(first, last)


def test_frame_t_tends_to_the_frames(stills, draws):
    first, middle, _ = layered_triplets(stills, draws, torch.full((3,), 1e-4))
    assert (first.int() - middle.int()).abs().max() <= 2
    _, middle, last = layered_triplets(stills, draws, torch.full((3,), 1 - 1e-4))
    assert (last.int() - middle.int()).abs().max() <= 2
    assert (last.int() - first.int()).abs().max() > 50


def test_fewer_triplets_than_stills(stills, draws):
    t = torch.full((3,), 0.5)
    all_three = layered_triplets(stills, draws, t)
    for one, of_three in zip(layered_triplets(stills, draws[:1], t[:1]), all_three, strict=True):
        assert torch.equal(one, of_three[:1])


def test_two_to_eight_layers():
    draws = torch.zeros(7, NUM_DRAWS)
    draws.view(7, NUM_LAYERS, -1)[:, 0, -1] = torch.arange(7) / 7 + 0.01
    layers = draw_layers(draws, 7, (20, 28))
    assert layers.opacity.sum(1).tolist() == [2, 3, 4, 5, 6, 7, 8]
    assert layers.opacity[0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]


# --- the stream ------------------------------------------------------------------------------


@pytest.fixture
def cfg(make_hr_clip, register):
    image = np.random.default_rng(0).integers(0, 256, (96, 120, 3), np.uint8)
    register("synthetic_clips", [make_hr_clip(image, 2, 9)])
    cfg = get_zoomin_cfg()
    cfg.SEED = 7
    cfg.DATASETS.TRAIN = ("synthetic_clips",)
    cfg.MODEL.DEVICE = "cpu"
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.CROP_SIZE = [16, 24]
    cfg.INPUT.FRAME_SPACING = [1, 2]
    cfg.INPUT.ARBITRARY_T = True
    cfg.INPUT.SYNTHETIC_FRACTION = 0.5
    return cfg


def take(cfg, num_batches: int = 2, start: int = 0) -> list[list[dict]]:
    return list(itertools.islice(iter(build_interpolation_train_loader(cfg, start)), num_batches))


def assert_equal(sample: dict, other: dict) -> None:
    assert sample.keys() == other.keys()
    for key, value in other.items():
        same = torch.equal(sample[key], value) if torch.is_tensor(value) else sample[key] == value
        assert same, key


@pytest.mark.parametrize("on_device", [False, True])
def test_half_of_a_batch_is_synthetic(cfg, on_device):
    cfg.DATALOADER.FRAMES_ON_DEVICE = on_device
    batches = take(cfg)
    cfg.INPUT.SYNTHETIC_FRACTION = 0.0
    for batch, real in zip(batches, take(cfg), strict=True):
        for sample, other in zip(batch[2:], real[2:], strict=True):
            assert_equal(sample, other)
        for sample, other in zip(batch[:2], real[:2], strict=True):
            assert sample["t"] == other["t"]
            assert sample["file_name"] == f"synthetic/{other['file_name']}"
            assert not any(torch.equal(sample[k], other[k]) for k in FRAMES)
            assert "frame_t_hr" in other and other.keys() - sample.keys() == {
                "frame_t_hr",
                "hr_scale",
            }


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_on_the_device_as_by_workers(cfg, device, num_workers):
    expected = take(cfg)
    cfg.DATALOADER.FRAMES_ON_DEVICE = True
    cfg.DATALOADER.NUM_WORKERS = num_workers
    cfg.MODEL.DEVICE = device
    for batch, others in zip(take(cfg), expected, strict=True):
        for sample, other in zip(batch, others, strict=True):
            assert sample.keys() == other.keys()
            for key in FRAMES:
                difference = (sample[key].cpu().int() - other[key].int()).abs()
                assert difference.float().mean() <= (0 if device == "cpu" else 0.5)


@pytest.mark.parametrize("on_device", [False, True])
def test_a_resumed_stream_is_the_unbroken(cfg, on_device):
    cfg.DATALOADER.FRAMES_ON_DEVICE = on_device
    unbroken = take(cfg, 3)[1:]
    for batch, resumed in zip(unbroken, take(cfg, 2, start=4), strict=True):
        for sample, other in zip(batch, resumed, strict=True):
            assert_equal(sample, other)


def test_a_batch_on_the_device_is_whole(cfg):
    cfg.DATALOADER.FRAMES_ON_DEVICE = True
    cfg.INPUT.SYNTHETIC_FRACTION = 1.0
    batch = take(cfg, 1)[0]
    whole = batch[0]["frame_1"]._base
    assert whole.shape == (4, 3, 16, 24)
    assert all(x["frame_1"]._base is whole and "hr_scale" not in x for x in batch)


def test_a_fraction_out_of_range_is_an_error(cfg):
    for fraction in (-0.1, 1.5, float("nan")):
        cfg.INPUT.SYNTHETIC_FRACTION = fraction
        with pytest.raises(ValueError, match=r"INPUT\.SYNTHETIC_FRACTION is .*, expected 0 to 1"):
            build_interpolation_train_loader(cfg)
