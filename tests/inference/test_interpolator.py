"""zoomin_d2.Interpolator: the same kind of frame comes back, refusals are clear."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from zoomin_d2 import Interpolator
from zoomin_d2.inference.devices import default_dtype
from zoomin_d2.model_zoo.generator_file import save_generator
from zoomin_d2.video.errors import ModelError


@pytest.fixture
def interpolator(weighted_average):
    return Interpolator(weighted_average, device="cpu")


def _noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_8bit_arrays(interpolator):
    first, second = _noise(5, 7, 3), _noise(5, 7, 3)[::-1]  # the second has a negative stride
    middle = interpolator(first, second, 0.25)
    assert (middle.shape, middle.dtype) == ((5, 7, 3), np.uint8)
    expected = np.floor(0.75 * first + 0.25 * second.astype(float) + 0.5)
    assert np.abs(middle - expected).max() <= 1
    assert np.array_equal(interpolator(first, first), first)


def test_arrays_are_not_changed(interpolator):
    first, second = _noise(5, 7, 3), _noise(5, 7, 3)[:, ::-1]
    before = first.copy()
    first.setflags(write=False)
    interpolator(first, second)
    assert np.array_equal(first, before)
    sliced = _noise(10, 14, 4)[::2, ::2, :3]
    assert np.array_equal(interpolator(sliced, sliced), sliced)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
def test_gray_frames(interpolator, shape):
    first = _noise(*shape)
    assert np.array_equal(interpolator(first, first), first)
    middle = interpolator(first, 255 - first)
    assert middle.shape == shape
    assert set(np.unique(middle)) <= {127, 128}


def test_16bit_and_float_arrays(interpolator):
    deep = np.random.default_rng(1).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    same = interpolator(deep, deep)
    assert same.dtype == np.uint16
    assert np.abs(same.astype(int) - deep).max() <= 1
    floats = _noise(5, 7, 3) / 255
    same = interpolator(floats, floats)
    assert same.dtype == np.float32
    np.testing.assert_allclose(same, floats, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_arrays_of_the_other_byte_order(interpolator, dtype):
    dark = np.arange(12).reshape(2, 2, 3).astype(dtype) / (1 if dtype == np.uint16 else 12)
    same = interpolator(dark.astype(np.dtype(dtype).newbyteorder()), dark.astype(dtype))
    assert same.dtype == dtype
    np.testing.assert_allclose(same, dark, atol=1e-6)


def test_16bit_values_do_not_wrap_around():
    def brighten(frame_1, frame_2, t):
        return frame_1 + 0.1

    white = np.full((2, 2, 3), 65535, np.uint16)
    assert np.array_equal(Interpolator(brighten)(white, white), white)


def test_an_array_of_a_subclass(interpolator):
    gray = _noise(5, 7)
    assert np.array_equal(interpolator(gray.view(np.matrix), gray.view(np.matrix)), gray)


@pytest.mark.filterwarnings("error")
def test_a_tensor_with_a_gradient(interpolator):
    frame = torch.rand(1, 3, 4, 4, requires_grad=True)
    assert not interpolator(frame, frame).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64, torch.uint8])
def test_tensors(interpolator, dtype):
    frames = torch.from_numpy(_noise(2, 3, 5, 7))
    frames = frames if dtype == torch.uint8 else (frames / 255).to(dtype)
    same = interpolator(frames, frames)
    assert (same.dtype, same.shape) == (dtype, frames.shape)
    torch.testing.assert_close(same, frames, atol=1e-3, rtol=0)


def test_list_of_times_gives_list_of_frames(interpolator):
    black, white = np.zeros((4, 4, 3), np.float32), np.ones((4, 4, 3), np.float32)
    frames = interpolator(black, white, [0.25, 0.5, 0.75])
    assert [float(x.mean()) for x in frames] == [0.25, 0.5, 0.75]
    assert [float(x.mean()) for x in interpolator(black, white, np.array([0.125]))] == [0.125]
    assert interpolator(black, white, []) == []


def test_one_time_per_pair(interpolator):
    frames = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    result = interpolator(*frames, torch.tensor([0.25, 0.75]))
    assert result.mean(dim=(1, 2, 3)).tolist() == [0.25, 0.75]
    with pytest.raises(ValueError, match=r"one value per pair, \(2,\), got \(3,\)"):
        interpolator(*frames, torch.tensor([0.1, 0.2, 0.3]))


@pytest.mark.parametrize(
    "frame, error, message",
    [
        ([[0]], TypeError, "is a list: give a numpy array"),
        (_noise(4, 4, 4), ValueError, r"4 channels.*alpha is not interpolated"),
        (_noise(3, 4, 5), ValueError, r"\(3, 4, 5\), not \(H, W, 3\).*transpose"),
        (_noise(1, 4, 4, 3), ValueError, "one frame, not a batch"),
        (_noise(0, 4, 3), ValueError, "no pixels"),
        (_noise(4, 4, 3).astype(np.int32), TypeError, "int32, whose range is unknown"),
        (_noise(4, 4, 3).astype(np.float32), ValueError, r"must lie in \[0, 1\] \(divide"),
        (np.full((4, 4, 3), np.nan), ValueError, r"floats from nan to nan"),
        (torch.zeros(3, 4, 4), ValueError, r"frame\[None\]"),
        (torch.zeros(4, 5, 3), ValueError, r"frame\.permute\(2, 0, 1\)\[None\]$"),
        (torch.zeros(3, 4, 3), ValueError, r"frame\[None\]"),
        (torch.zeros(1, 4, 4, 3), ValueError, r"\(N, 3, H, W\); .*frame\.permute\(0, 3, 1, 2\)$"),
        (torch.zeros(1, 3, 0, 4), ValueError, "no pixels"),
        (torch.zeros(0, 3, 4, 4), ValueError, "no pixels"),
        (torch.full((1, 3, 4, 4), 255.0), ValueError, "floats from 255 to 255"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int64), TypeError, "float tensor"),
    ],
)
def test_frames_that_are_refused(interpolator, frame, error, message):
    with pytest.raises(error, match=message):
        interpolator(frame, frame)


def test_pairs_that_do_not_fit(interpolator):
    with pytest.raises(ValueError, match=r"differ: uint8 array of shape \(4, 4, 3\) and.*5"):
        interpolator(_noise(4, 4, 3), _noise(4, 5, 3))
    with pytest.raises(ValueError, match="both must have"):
        interpolator(_noise(4, 4, 3), torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("t", [0, 1, -0.5, float("nan"), [0.5, 1.0]])
def test_times_that_are_refused(interpolator, t):
    with pytest.raises(ValueError, match="t must lie between 0 and 1"):
        interpolator(_noise(4, 4, 3), _noise(4, 4, 3), t)


@pytest.mark.parametrize("t", [None, "x", 0.5j, {0.5}, (x for x in [0.5]), [None], [[0.5]]])
def test_values_that_are_no_times(interpolator, t):
    with pytest.raises(TypeError, match=r"t must be a number, .*a list of numbers, got "):
        interpolator(_noise(4, 4, 3), _noise(4, 4, 3), t)


def test_lists_of_times_per_pair(interpolator):
    frames = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    made = interpolator(*frames, [torch.tensor([0.25, 0.75]), 0.5])
    assert [x.mean(dim=(1, 2, 3)).tolist() for x in made] == [[0.25, 0.75], [0.5, 0.5]]


@pytest.mark.parametrize("t", [0.0, 1.0, 1.5, float("nan")])
def test_times_of_pairs_are_looked_at_too(interpolator, t):
    frames = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match="t must lie between 0 and 1, got"):
        interpolator(frames, frames, torch.tensor([0.5, t]))


def test_models_that_make_another_size():
    def halve(frame_1, frame_2, t):
        return frame_1[..., ::2, ::2]

    def turn(frame_1, frame_2, t):
        return frame_1.permute(0, 2, 3, 1)

    frame = torch.zeros(1, 3, 6, 8)
    with pytest.raises(ModelError, match=r"made \(1, 3, 3, 4\) of frames \(1, 3, 6, 8\)"):
        Interpolator(halve)(frame, frame)
    with pytest.raises(ModelError, match=r"made \(1, 6, 8, 3\) of frames \(1, 3, 6, 8\)"):
        list(Interpolator(turn).stream([_noise(6, 8, 3)] * 2))


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (2, 5)])
def test_any_size_comes_back(small_generator, size):
    interpolator = Interpolator(small_generator[0], device="cpu", dtype=torch.float32)
    first, second = _noise(*size, 3), 255 - _noise(*size, 3)
    assert interpolator(first, second).shape == (*size, 3)
    assert [x.shape for x in interpolator(first, first, [0.2, 0.8])] == [(*size, 3)] * 2


def test_from_pretrained(small_generator, tmp_path):
    generator, options = small_generator
    path = tmp_path / "small.safetensors"
    save_generator(path, generator, options, "small")
    interpolator = Interpolator.from_pretrained(path, device="cpu", dtype=torch.float32)
    assert repr(interpolator) == (
        "Interpolator('small', device='cpu', dtype=torch.float32, tile='auto', flow_scale=auto, "
        "quality='standard')"
    )
    assert interpolator.metadata["name"] == "small"
    first, second = _noise(20, 24, 3), _noise(20, 24, 3)[::-1]
    frames = [torch.from_numpy(x.copy()).permute(2, 0, 1)[None] / 255 for x in (first, second)]
    with torch.no_grad():
        expected = generator(*frames, torch.tensor([0.5])).pred_frame[0].permute(1, 2, 0)
    found = interpolator(first, second)
    assert np.abs(found - 255.0 * expected.numpy()).max() < 1.5


def test_detail_is_chosen_by_the_caller():
    first, second = _noise(40, 48, 3), _noise(40, 48, 3)[::-1].copy()
    options = {"device": "cpu", "dtype": torch.float32}
    plain = Interpolator.from_pretrained("fast", **options)
    sharp = Interpolator.from_pretrained("fast", detail=1, **options)
    assert "detail=1" in repr(sharp) and "detail" not in repr(plain)
    assert sharp.generator.detail == 1 and plain.generator.detail == 0
    frames = [x(first, second).astype(float) for x in (plain, sharp)]
    rough = [np.abs(np.diff(x, axis=1)).mean() for x in frames]
    assert rough[1] > 1.1 * rough[0]
    off = Interpolator.from_pretrained("fast-roigan", detail=0, **options)
    on = Interpolator.from_pretrained("fast-roigan", **options)
    assert (off.generator.detail, on.generator.detail) == (0, 1)
    with pytest.raises(ValueError, match="detail must be between 0 and 2, got -1"):
        Interpolator.from_pretrained("fast", detail=-1)
    for name in ("dis", "paper"):
        with pytest.raises(ValueError, match=f"needs a network like 'fast'; '{name}' is not"):
            Interpolator.from_pretrained(name, detail=1)


@pytest.mark.parametrize("channels", [3, 4])
def test_detail_at_a_smaller_flow_scale(channels):
    """It is that of the whole frames, not only of the small ones in which motion is found."""
    seeds = (torch.Generator().manual_seed(k) for k in (0, 1))
    pair = [0.3 + 0.4 * torch.rand(1, channels, 46, 61, generator=seed) for seed in seeds]
    rough = []
    for detail in (0, 1):
        model = Interpolator.from_pretrained("fast", "cpu", flow_scale=0.5, detail=detail)
        (made,) = model.with_alpha(*pair, [0.5]) if channels == 4 else model(*pair, [0.5])
        assert made.shape == pair[0].shape
        rough.append(made[:, :3].diff(dim=3).abs().mean())
    assert rough[1] > 1.2 * rough[0]


@pytest.mark.parametrize("options", [{}, {"quality": "best", "detail": 1.0, "tile": 128}])
def test_copies_for_other_processes(options):
    interpolator = Interpolator.from_pretrained("fast", "cpu", torch.float32, **options)
    received = pickle.loads(pickle.dumps(interpolator))
    assert repr(received) == repr(interpolator)
    assert received.metadata == interpolator.metadata
    frames = _noise(8, 9, 3), 255 - _noise(8, 9, 3)
    assert np.array_equal(received(*frames), interpolator(*frames))


def test_a_copy_keeps_its_class(weighted_average):
    class Own(Interpolator):
        pass

    assert type(copy.copy(Own(weighted_average, device="cpu"))) is Own


def test_a_copy_of_a_method_without_learning():
    dis = pickle.loads(pickle.dumps(Interpolator.from_pretrained("dis", ["cpu", "cpu"])))
    assert (dis.name, dis.workers) == ("dis", 2)


def test_import_stays_light():
    script = (
        "import sys; sys.modules['detectron2._C'] = None\n"
        "from zoomin_d2 import Interpolator\n"
        "heavy = {'matplotlib', 'tensorboard', 'scipy', 'detectron2.engine', 'pkg_resources',"
        " 'zoomin_d2.engine', 'zoomin_d2.evaluation', 'zoomin_d2.visualization'}\n"
        "print(Interpolator.__name__, sorted(heavy & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.strip() == "Interpolator []", result.stderr


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "dtype"),
    [(1, 1, torch.bfloat16), (0, 1, torch.bfloat16), (0, 0, torch.float32)],
)
def test_dtype_of_a_cpu(monkeypatch, amx, avx512_bf16, dtype):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: bool(amx))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bool(avx512_bf16))
    assert default_dtype(torch.device("cpu")) == dtype


def test_a_name_is_no_generator():
    with pytest.raises(
        TypeError, match=r"got 'fast'; for a name, use Interpolator\.from_pretrained"
    ):
        Interpolator("fast")


def test_a_time_beyond_floats():
    model = Interpolator.from_pretrained("average")
    frame = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(TypeError, match="t must be a number"):
        model(frame, frame, 10**400)
