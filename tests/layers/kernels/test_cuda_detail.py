"""Detail by its CUDA kernels, on a CPU, is that of generators/detail.py."""

import shutil

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("triton")

from tests.helpers.cuda_on_cpu import on_cpu
from zoomin_d2.frames import to_8bit
from zoomin_d2.generators import FastGenerator
from zoomin_d2.generators import detail as definition
from zoomin_d2.generators.motion_decoder import Time
from zoomin_d2.inference.detail import PairDetail
from zoomin_d2.inference.engine import InferenceEngine
from zoomin_d2.inference.flow_scale import FlowScaled
from zoomin_d2.layers.kernels import nvrtc
from zoomin_d2.layers.kernels.detail import DetailKernels

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
PLANES, LAST = torch.contiguous_format, torch.channels_last
SIZES = [(1, 37, 50), (2, 64, 48)]
KERNELS = DetailKernels(
    cell=definition.CELL,
    epsilon=definition.EPSILON,
    max_gain=definition.MAX_GAIN,
    luma=definition.LUMA,
)


@pytest.fixture(autouse=True)
def turing(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(nvrtc, "compute_capability", lambda x: 75)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


def texture(n, height, width, dtype=torch.float32, layout=PLANES):
    """Noise that is strong in some places and weak in others; some is black or white."""
    strength = F.interpolate(torch.rand(n, 1, 4, 5) ** 2, size=(height, width), mode="bilinear")
    frame = (0.5 + 1.5 * strength * (torch.rand(n, 3, height, width) - 0.5)).clamp(0, 1)
    frame = (frame * 255).to(dtype) if dtype == torch.uint8 else frame.to(dtype)
    return frame.contiguous(memory_format=layout)


def motion_of(n, height, width, scale):
    """Of the finest decoder, for frames padded to whole multiples of 16."""
    motion = torch.randn(n, 5, *(-(-side // 16) * 8 for side in (height, width)))
    motion[:, :4] *= scale
    return motion


def cells_of(frame):
    squares = definition.pad_to_multiple(definition._detail(frame).square(), definition.CELL)
    return F.avg_pool2d(squares, definition.CELL)[:, 0]


def view_of(frame):
    """A part of a larger frame."""
    part = torch.zeros(*frame.shape[:2], frame.shape[2] + 3, frame.shape[3] + 5, dtype=frame.dtype)
    return part[..., 1:-2, 2:-3].copy_(frame)


@pytest.mark.parametrize("size", [*SIZES, (1, 3, 2), (1, 1, 33)])
@pytest.mark.parametrize(
    "dtype, layouts",
    [
        (torch.uint8, (LAST, PLANES)),
        (torch.float32, (PLANES, LAST)),
        (torch.float16, (PLANES, PLANES)),
        (torch.bfloat16, (LAST, LAST)),
    ],
)
def test_cells(folder, size, dtype, layouts):
    pair = [texture(*size, dtype, layout) for layout in layouts]
    pair[1] = view_of(pair[1]) if layouts[1] == PLANES else pair[1]
    with on_cpu(folder) as launched:
        found = KERNELS.cells(*pair)
    assert launched == ["detail_cells"]
    torch.testing.assert_close(found, torch.cat([cells_of(x) for x in pair]), atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("size", [*SIZES, (1, 3, 2), (2, 33, 1)])
@pytest.mark.parametrize(
    "dtype, layout, scale",
    [
        (torch.uint8, LAST, 3.0),
        (torch.float32, PLANES, 0.5),
        (torch.float16, PLANES, 100.0),  # far outside
    ],
)
def test_frames_along_a_motion(folder, fused, size, dtype, layout, scale):
    pair = [texture(*size, dtype, layout) for _ in range(2)]
    made = (0.5 + 0.5 * (texture(*size) - 0.5)).contiguous(memory_format=layout)
    motion, t = motion_of(*size, scale), torch.tensor([0.3, 0.875])[: size[0]]
    energies = definition.detail_energies(*pair)
    time, grid = Time.of(t), tuple(energies.shape[2:])
    at_energies = definition.motion_of_energies(motion, time, grid)
    expected = definition.restore_detail(made, energies, *at_energies, 0.8)
    with on_cpu(folder) as launched:
        found = PairDetail(*pair, 0.8, fused=fused).restored_along(made, motion, t, dtype)
    assert launched == (["detail_cells", "detail_cells", "restore_detail"] if fused else [])
    assert found.dtype == dtype and found.stride() == made.stride()
    assert min(size[1:]) < 4 or (expected - made).abs().mean() > 0.005
    if dtype == torch.uint8:
        levels = (found.int() - to_8bit(expected).int()).abs()
        assert levels.max() <= 1 and levels.float().mean() < 1e-3
    else:
        tolerance = 1e-5 if dtype == torch.float32 else 5e-4  # half of float16's steps below 1
        torch.testing.assert_close(found.float(), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype, layout", [(torch.uint8, LAST), (torch.float32, PLANES)])
def test_frames_with_flows(folder, size, dtype, layout):
    """As flow_scale.py has them; the frame itself in the pair's format, and a part of another."""
    pair = [texture(*size, dtype, layout) for _ in range(2)]
    made = view_of(texture(*size, dtype, layout))
    energies = definition.detail_energies(*pair)
    grid = energies.shape[2:]
    flows, mask = torch.randn(2 * size[0], 2, *grid) * 2, torch.rand(size[0], 1, *grid)
    expected = definition.restore_detail(made, energies, flows, mask, 1.0)
    with on_cpu(folder) as launched:
        detail = PairDetail(*pair, 1.0, fused=True)
        found = detail.restored(made, flows, mask, torch.float32)
    assert launched == ["detail_cells", "detail_cells", "restore_detail"]
    assert detail.grid == tuple(grid)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_what_is_not_a_number_stays_so(folder):
    made = texture(1, 37, 50)
    made[0, 1, 20, 30] = torch.nan
    motion, t = motion_of(1, 37, 50, 1.0), torch.tensor([0.5])
    with on_cpu(folder):
        detail = PairDetail(*[texture(1, 37, 50) for _ in range(2)], 1.0, fused=True)
        found = detail.restored_along(made, motion, t, torch.float32)
    assert found[0, :, 20, 30].isnan().all() and not found[0, :, :4].isnan().any()


def test_frames_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="must have one size"):
        KERNELS.cells(texture(1, 40, 40), texture(1, 24, 24))


def test_strides_that_32_bits_cannot_count():
    frame = torch.empty(1, device="meta").as_strided((1, 3, 2**16, 2), (0, 1, 2**15 + 1, 1))
    with pytest.raises(ValueError, match=r"strides .* are too large for a frame"):
        KERNELS.cells(frame)


def test_motion_found_on_less(folder, monkeypatch):
    """`FlowScaled` uses the kernels if the engine does."""
    network = FastGenerator(detail=1.0)
    torch.nn.init.normal_(network.decoders[0].head.weight, std=0.05)
    engine = InferenceEngine(network, torch.device("cpu"), torch.float32)
    pair = [texture(1, 64, 80) for _ in range(2)]
    (expected,) = FlowScaled(engine, 0.5)(*pair, [0.3])
    monkeypatch.setattr(InferenceEngine, "is_fused", True)
    monkeypatch.setattr(InferenceEngine, "with_motion", lambda *_, **__: None)
    with on_cpu(folder) as launched:
        (found,) = FlowScaled(engine, 0.5)(*pair, [0.3])
    assert launched == ["detail_cells", "detail_cells", "restore_detail"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
