"""The choice of the scale at which motion is found."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zoomin_d2 import Interpolator
from zoomin_d2.frames import to_8bit
from zoomin_d2.generators.output import GeneratorOutput
from zoomin_d2.inference.cuda_graphs import CudaGraphCache
from zoomin_d2.inference.engine import InferenceEngine
from zoomin_d2.inference.flow_scale import FlowScaled
from zoomin_d2.inference.fused.results import FusedFrame, FusedPair
from zoomin_d2.layers import backward_warp

OPTIONS = {"device": "cpu", "dtype": torch.float32}


class Pan(torch.nn.Module):
    """Finds a horizontal motion of up to `reach` pixels, and takes a longer one for that."""

    size_divisibility = 1

    def __init__(self, motion, reach):
        super().__init__()
        self.motion, self.reach, self.widths = motion, reach, []

    def forward(self, frame_1, frame_2, t):
        self.widths.append(frame_1.shape[3])
        found = min(self.motion * frame_1.shape[3] / 256, self.reach)
        flow = torch.zeros_like(frame_1[:, :2])
        flow[:, 0] = found
        t = t.view(-1, 1, 1, 1)
        flows = (-t * flow, (1 - t) * flow)
        warped = [backward_warp(*x) for x in zip((frame_1, frame_2), flows)]
        mean = (warped[0] + warped[1]) / 2
        return GeneratorOutput(mean, mean, *flows, torch.full_like(mean[:, :1], 0.5), ())


def pan(motion, width=256):
    noise = torch.rand(1, 3, 40, (width + 128) // 8, generator=torch.Generator().manual_seed(0))
    wide = F.interpolate(noise, (40, width + 128), mode="bicubic").clamp(0, 1)
    start = 64
    return [wide[..., start - round(motion * t) :][..., :width] for t in (0, 0.5, 1)]


@pytest.mark.parametrize(
    ("motion", "widths"),
    # Small motion: once. Large: once more at half the size; still large there: at a quarter.
    [(16, [256]), (40, [256, 128]), (60, [256, 128, 64])],
)
def test_large_motion_is_found_on_less(motion, widths):
    first, truth, last = pan(motion)
    network = Pan(motion, reach=26)
    model = Interpolator(network, flow_scale="auto", tile=None, **OPTIONS)
    made = model(first, last)
    assert network.widths == widths
    inner = (..., slice(80, -80))
    assert (made - truth)[inner].abs().mean() < 0.01
    if motion > 26:
        plain = Interpolator(Pan(motion, reach=26), tile=None, flow_scale=1, **OPTIONS)(first, last)
        assert (plain - truth)[inner].abs().mean() > 0.05


def test_each_pair_of_a_batch_has_its_choice():
    still, moving = pan(0), pan(40)

    class Finds(Pan):
        """Of the still pair nothing, of the other one as `Pan`."""

        def forward(self, frame_1, frame_2, t):
            self.motion = 40 * float((frame_1 - frame_2).abs().max() > 0)
            return super().forward(frame_1, frame_2, t)

    network = Finds(40, reach=26)
    model = Interpolator(network, flow_scale="auto", tile=None, **OPTIONS)
    first, last = torch.cat([still[0], moving[0]]), torch.cat([still[2], moving[2]])
    made = model(first, last, torch.tensor([0.5, 0.25]))
    assert network.widths == [256, 256, 128]
    assert torch.equal(made[:1], model(still[0], still[2]))
    assert torch.equal(made[1:], model(moving[0], moving[2], 0.25))


def test_small_motion_keeps_fused_frames(monkeypatch):
    first, _, last = pan(40)
    network = Pan(40, reach=26)
    model = Interpolator(network, flow_scale="auto", tile=None, **OPTIONS)
    fused = FusedFrame(torch.full((1, 3, 40, 256), 0.25), torch.zeros(1, 5, 20, 128))
    small = FusedPair([fused], torch.tensor(24.0))
    monkeypatch.setattr(InferenceEngine, "with_motion", lambda *_, **__: small)
    assert torch.equal(model(first, last), fused.frame) and network.widths == []


def test_large_motion_continues_from_fused(monkeypatch):
    first, _, last = pan(40)
    network = Pan(40, reach=26)
    model = Interpolator(network, flow_scale="auto", tile=None, **OPTIONS)
    expected = model(first, last)
    assert network.widths == [256, 128]
    out = network(first, last, torch.tensor([0.5]))
    fused = FusedPair([FusedFrame(out.pred_frame, torch.zeros(1, 5, 20, 128))], torch.ones(()))

    def with_motion(engine, frame_1, *_, **__):
        return fused._replace(length=torch.tensor(24.1)) if frame_1.shape[3] == 256 else None

    monkeypatch.setattr(InferenceEngine, "with_motion", with_motion)
    monkeypatch.setattr(InferenceEngine, "outputs_of", lambda *_: [(out.pred_frame, out)])
    network.widths.clear()
    assert torch.equal(model(first, last), expected) and network.widths == [128]
    bytes_ = [to_8bit(x) for x in (first, last)]
    assert (model(*bytes_).int() - to_8bit(expected).int()).abs().max() <= 1


def test_smaller_sizes_are_recorded_whole():
    calls = []

    def capture(run, *_):
        calls.append("capture")
        return lambda *inputs: calls.append("replay") or run(*inputs)

    engine = InferenceEngine(Pan(40, reach=26), torch.device("cpu"), torch.float32)
    frames = [to_8bit(x) for x in pan(40)[::2]]
    expected = FlowScaled(engine, 0.5)(*frames, [0.5])
    engine._graphs = CudaGraphCache(capture)
    scaled = FlowScaled(engine, 0.5)
    for _ in range(3):
        assert torch.equal(scaled(*frames, [0.5])[0], expected[0])
    assert calls == ["capture", "replay", "replay"]


@pytest.mark.parametrize("flow_scale", [1, 0.5, "auto"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.uint8])
def test_every_dtype_of_tensors(flow_scale, dtype):
    model = Interpolator.from_pretrained("fast", flow_scale=flow_scale, tile=None, **OPTIONS)
    frames = [torch.full((1, 3, 32, 32), 64, dtype=torch.uint8)] * 2
    if dtype != torch.uint8:
        frames = [(x / 255).to(dtype) for x in frames]
    made = model(*frames)
    assert made.dtype == dtype and made.shape == frames[0].shape
    assert (made.float() - frames[0].float()).abs().max() <= (1 if dtype == torch.uint8 else 0.01)
    assert model(*frames, []) == []


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_doubt_of_every_dtype(dtype):
    generator = Pan(16, reach=26)
    engine = InferenceEngine(generator, torch.device("cpu"), torch.float32)
    bytes_ = [to_8bit(x) for x in pan(16)[::2]]
    (expected,) = engine.with_doubt(*(x / 255 for x in bytes_), [0.5])
    frames = bytes_ if dtype == torch.uint8 else [x.to(dtype) / 255 for x in bytes_]
    (made,) = engine.with_doubt(*frames, [0.5])
    torch.testing.assert_close(made, expected)


@pytest.mark.parametrize("motion", [16, 40])
def test_8_bits_in_8_bits_out(motion):
    model = Interpolator(Pan(motion, reach=26), flow_scale="auto", tile=None, **OPTIONS)
    frames = [to_8bit(x) for x in pan(motion)[::2]]
    assert torch.equal(model(*frames), to_8bit(model(*(x / 255 for x in frames))))


def test_the_default_depends_on_the_device():
    assert Interpolator(Pan(0, 1), device="cpu").flow_scale == "auto"
    assert Interpolator(Pan(0, 1), device=["cpu", "cpu"]).flow_scale == "auto"
    assert Interpolator(Pan(0, 1), device="cpu", compile=True).flow_scale == 1
    assert Interpolator(Pan(0, 1), device="cpu", flow_scale=0.5).flow_scale == 0.5
    assert Interpolator.from_pretrained("dis").flow_scale == 1


def test_what_fits_better_is_taken():
    """Full size finds all of it: half the size is tried, and not taken."""
    first, truth, last = pan(60)

    class Worse(Pan):
        def forward(self, frame_1, frame_2, t):
            self.reach = 100 if frame_1.shape[3] == 256 else 10
            return super().forward(frame_1, frame_2, t)

    network = Worse(60, 100)
    made = Interpolator(network, flow_scale="auto", tile=None, **OPTIONS)(first, last, [0.25, 0.5])
    assert network.widths == [256, 256, 128, 128]
    assert (made[1] - truth)[..., 80:-80].abs().mean() < 0.01


def test_small_motion_changes_nothing():
    """With the shipped model, alpha, doubt, and several times."""
    rng = np.random.default_rng(0)
    first = torch.from_numpy(rng.random((1, 4, 40, 48), np.float32))
    first[:, :3] *= first[:, 3:]
    second = first.roll(2, 3)
    auto = Interpolator.from_pretrained("fast", flow_scale="auto", **OPTIONS)
    plain = Interpolator.from_pretrained("fast", flow_scale=1, **OPTIONS)
    assert "flow_scale=auto" in repr(auto)
    for a, b in zip(
        auto.with_alpha(first, second, [0.3, 0.5]), plain.with_alpha(first, second, [0.3, 0.5])
    ):
        torch.testing.assert_close(a, b)
    colors = first[:, :3], second[:, :3]
    for a, b in zip(auto.with_doubt(*colors, [0.5]), plain.with_doubt(*colors, [0.5])):
        torch.testing.assert_close(a, b)


def test_wrong_scales_are_named():
    with pytest.raises(ValueError, match="must be a number or 'auto', got 'best'"):
        Interpolator.from_pretrained("fast", flow_scale="best")
    with pytest.raises(ValueError, match="compile needs flow_scale 1, got auto"):
        Interpolator.from_pretrained("fast", flow_scale="auto", compile=True)
    with pytest.raises(ValueError, match="needs a network; 'dis' is not one"):
        Interpolator.from_pretrained("dis", flow_scale="auto")


@pytest.mark.needs_gpu
@pytest.mark.parametrize("name", ["fast", "fast-roigan", "fine"])
@pytest.mark.parametrize("motion", [4, 72])  # one for which a smaller size is taken
def test_fused_kernels_choose_alike(name, motion):
    wide = F.interpolate(pan(0)[0], scale_factor=2.0, mode="bicubic").clamp(0, 1)
    frames = [(x * 255).to(torch.uint8).cuda() for x in (wide, wide.roll(motion, 3))]
    options = {"flow_scale": "auto", "tile": None}
    exact = Interpolator.from_pretrained(name, "cuda", torch.float32, **options)
    fused = Interpolator.from_pretrained(name, "cuda", torch.float16, **options)
    expected = exact(*frames, [0.5, 0.3])
    for _ in range(3):  # plain, recorded, replayed
        for a, b in zip(fused(*frames, [0.5, 0.3]), expected, strict=True):
            assert a.dtype == torch.uint8
            assert (a.float() - b.float()).abs().mean() < 0.2
    colors = [x / 255 for x in frames]
    (a,), (b,) = (model.with_doubt(*colors, [0.5]) for model in (fused, exact))
    assert (a - b)[:, :3].abs().mean() < 1e-3 and (a - b)[:, 3].abs().mean() < 0.02


def test_a_video_takes_auto_if_not_told(monkeypatch):
    def on_a_gpu(name="fast", **options):  # where 1 is the default
        model = Interpolator.from_pretrained(name, device="cpu", **options)
        monkeypatch.setattr(model, "_flow_scale", options.get("flow_scale", 1.0))
        return model

    model = on_a_gpu(detail=0.5)
    auto = model.for_videos()
    assert (model.flow_scale, auto.flow_scale) == (1.0, "auto")
    assert auto.generator is model.generator and auto.generator.detail == 0.5
    assert model.for_videos() is auto and auto.for_videos() is auto
    for other in (on_a_gpu(flow_scale=1.0), on_a_gpu(flow_scale=0.5), on_a_gpu("paper")):
        assert other.for_videos() is other
    dis = Interpolator.from_pretrained("dis")
    assert dis.for_videos() is dis
