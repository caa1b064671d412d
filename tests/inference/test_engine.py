"""zoomin_d2.inference.engine: every path gives what the plain network gives."""

import pytest
import torch

from zoomin_d2.generators.output import forward_many
from zoomin_d2.inference.cuda_graphs import CudaGraphCache
from zoomin_d2.inference.engine import InferenceEngine
from zoomin_d2.model_zoo.generator_file import load_generator

CPU = torch.device("cpu")


def _frames(height=20, width=24, n=1):
    generator = torch.Generator().manual_seed(2)
    size = (n, 3, height, width)
    return [torch.randint(0, 256, size, dtype=torch.uint8, generator=generator) for _ in range(2)]


def test_float32_is_the_network_itself(small_generator):
    generator, _ = small_generator
    frames = [x / 255 for x in _frames()]
    expected = generator(*frames, torch.tensor([0.3])).pred_frame
    (found,) = InferenceEngine(generator, CPU, torch.float32)(*frames, [0.3])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert not found.requires_grad


def test_8bit_in_8bit_out_rounds_half_up(weighted_average):
    engine = InferenceEngine(weighted_average, CPU, torch.float32)
    first, second = torch.full((1, 3, 2, 2), 10, dtype=torch.uint8), torch.full((1, 3, 2, 2), 13)
    (middle,) = engine(first, second.to(torch.uint8), [0.5])
    assert middle.dtype == torch.uint8
    assert middle.unique().tolist() == [12]  # 11.5


def test_bfloat16_is_close(small_generator):
    generator, _ = small_generator
    frames = _frames()
    (exact,) = InferenceEngine(generator, CPU, torch.float32)(*frames, [0.5])
    (half,) = InferenceEngine(generator, CPU, torch.bfloat16)(*frames, [0.5])
    difference = (exact.int() - half.int()).abs().float()
    assert 0 < difference.mean() < 1
    assert next(generator.parameters()).dtype == torch.bfloat16


def test_one_encoding_for_several_times(weighted_average):
    frames, ts = [x / 255 for x in _frames()], [torch.tensor([t]) for t in (0.25, 0.5)]
    plain = forward_many(weighted_average, *frames, ts)
    assert weighted_average.num_calls == 2
    weighted_average.forward_many = lambda a, b, ts: [plain[0]] * len(ts)
    assert forward_many(weighted_average, *frames, ts) == [plain[0], plain[0]]
    assert plain[0].pred_frame.shape == frames[0].shape


def test_another_result_is_named():
    class Mean(torch.nn.Module):
        def forward(self, frame_1, frame_2, t):
            return (frame_1 + frame_2) / 2

    engine = InferenceEngine(Mean(), CPU, torch.float32)
    with pytest.raises(TypeError, match="Mean returned Tensor; a generator must return a Gen"):
        engine(*_frames(), [0.5])


def test_a_callers_autocast_changes_nothing(small_generator):
    generator, _ = small_generator
    engine, frames = InferenceEngine(generator, CPU, torch.float32), [x / 255 for x in _frames()]
    (expected,) = engine(*frames, [0.3])
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = engine(*frames, [0.3])
    assert torch.equal(found, expected)


def test_compiled_is_the_same(weighted_average, monkeypatch):
    # Traced as always, but run without generating code, which would take half a minute here.
    trace = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, mode, dynamic: trace(f, backend="eager"))
    frames = _frames()
    (plain,) = InferenceEngine(weighted_average, CPU, torch.float32)(*frames, [0.3])
    engine = InferenceEngine(weighted_average, CPU, torch.float32, compile="default")
    assert torch.equal(engine(*frames, [0.3])[0], plain)


def test_recordings_serve_any_time():
    calls = []

    def run(frame_1, frame_2, ts):
        calls.append("run")
        return [frame_1 * (1 - t) + frame_2 * t for t in ts]

    def capture(run, *example):
        calls.append("capture")
        return lambda *inputs: calls.append("replay") or run(*inputs)

    shapes = CudaGraphCache(capture, max_recordings=1)
    a, b = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    outputs = [shapes(run, a, b, [torch.tensor(t)])[0].mean().item() for t in (0.25, 0.5, 0.75)]
    assert outputs == [0.25, 0.5, 0.75]
    assert calls == ["run", "capture", "replay", "run", "replay", "run"]
    calls.clear()
    # Another number of times or another size is another recording; only one is kept here.
    small = a[..., :2]
    for _ in range(2):
        shapes(run, small, small, [torch.tensor(0.5)])
    shapes(run, a, b, [torch.tensor(0.5)])
    assert calls == ["run", "capture", "replay", "run", "capture", "replay", "run"]


def test_a_failed_recording_drops_the_others():
    """They would keep the memory that the failed one took."""

    def capture(run, frame_1, *_):
        if frame_1.shape[3] == 4:
            raise RuntimeError("out of memory")
        return lambda *_: ["replayed"]

    graphs, a = CudaGraphCache(capture), torch.zeros(1, 3, 4, 4)
    small = a[..., :2]
    run = lambda *_: ["run"]  # noqa: E731
    assert [graphs(run, small, small, []) for _ in range(2)] == [["run"], ["replayed"]]
    assert graphs(run, a, a, []) == ["run"]
    with pytest.raises(RuntimeError):
        graphs(run, a, a, [])
    assert not graphs._recordings and graphs(run, small, small, []) == ["replayed"]


@pytest.mark.needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_cuda_graph_is_the_eager_path(small_generator, dtype):
    generator, _ = small_generator
    cuda = torch.device("cuda")
    frames = [x.to(cuda) for x in _frames(64, 96)]
    ts = [0.25, 0.75]
    expected = InferenceEngine(generator, cuda, dtype, cuda_graphs=False)(*frames, ts)
    engine = InferenceEngine(generator, cuda, dtype, cuda_graphs=True)
    for _ in range(3):  # plain, recorded, replayed
        found = engine(*frames, ts)
        for a, b in zip(found, expected):
            assert (a.int() - b.int()).abs().max() <= 1
    swapped = engine(*frames[::-1], ts)
    assert not torch.equal(swapped[0], found[0])


@pytest.mark.needs_gpu
def test_graphs_of_several_sizes_take_turns(small_generator):
    generator, _ = small_generator
    cuda = torch.device("cuda")
    pairs = [[x.to(cuda) for x in _frames(*size)] for size in ((64, 96), (96, 64), (32, 32))]
    eager = InferenceEngine(generator, cuda, torch.float32, cuda_graphs=False)
    engine = InferenceEngine(generator, cuda, torch.float32, cuda_graphs=True)
    for pair in (*pairs, *pairs, *pairs, *pairs[::-1]):
        (found,), (expected,) = (run(*pair, [0.3]) for run in (engine, eager))
        assert (found.int() - expected.int()).abs().max() <= 1


def test_a_recording_can_be_passed_by(weighted_average):
    engine = InferenceEngine(weighted_average, CPU, torch.float32)
    engine._graphs = CudaGraphCache(lambda run, *example: lambda *inputs: ["replayed"])
    frames = _frames()
    plain = engine(*frames, [0.5])[0]
    assert engine(*frames, [0.5]) == ["replayed"]
    assert torch.equal(engine(*frames, [0.5], recorded=False)[0], plain)


def test_same_time_is_the_same_tensor(weighted_average):
    seen = []
    engine = InferenceEngine(weighted_average, CPU, torch.float32)
    engine._forward = lambda frame_1, frame_2, ts: seen.append(ts) or []
    own = torch.tensor([0.25])
    for _ in range(2):
        engine(*_frames(), [0.5, own])
    (first, copied), (second, copied_again) = seen
    assert first is second and first.tolist() == [0.5]
    assert copied is not own and copied is not copied_again and copied.tolist() == [0.25]


def test_triton_is_for_networks_that_have_it(weighted_average):
    with pytest.raises(ValueError, match="no Triton kernels for"):
        InferenceEngine(weighted_average, CPU, torch.float32, triton=True)


def test_what_a_cpu_cannot(weighted_average):
    with pytest.raises(ValueError, match="float16 needs a GPU"):
        InferenceEngine(weighted_average, CPU, torch.float16)
    with pytest.raises(ValueError, match=r"got torch\.int8"):
        InferenceEngine(weighted_average, CPU, torch.int8)


def test_unusable_kernels_fall_back(caplog):
    generator = load_generator("fast").generator
    engine = InferenceEngine(generator, CPU, torch.float32)
    frames = _frames(32, 48)
    expected = engine(*frames, [0.3])
    engine._forward = engine._fused_or_plain  # as on a GPU; here is none to compile for
    for _ in range(2):
        (found,) = engine(*frames, [0.3])
        assert torch.equal(found, expected[0])
    warnings = [x for x in caplog.records if "falling back to PyTorch" in x.getMessage()]
    assert len(warnings) == 1
