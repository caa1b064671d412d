"""The ComfyUI node, loaded as ComfyUI loads a folder in custom_nodes, on batches of IMAGE."""

import importlib.util
import inspect
import sys
import types
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from zoomin_d2 import Interpolator
from zoomin_d2.video import open_source

FOLDER = Path(__file__).parents[2] / "integrations/comfyui"


@pytest.fixture(scope="module")
def node():
    """ComfyUI names the module after the folder's path, and executes its __init__.py."""
    name = str(FOLDER).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, FOLDER / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    (mapped,) = module.NODE_CLASS_MAPPINGS.values()
    assert module.NODE_CLASS_MAPPINGS.keys() == module.NODE_DISPLAY_NAME_MAPPINGS.keys()
    yield mapped()
    del sys.modules[name]


@pytest.fixture
def comfy(monkeypatch):
    """What the node uses of ComfyUI; `stop_at` is the frame at which the user stops."""
    calls = types.SimpleNamespace(total=None, done=0, stop_at=None)

    class Stopped(Exception):
        pass

    class ProgressBar:
        def __init__(self, total):
            calls.total = total

        def update(self, count):
            calls.done += count

    def check():
        if calls.done == calls.stop_at:
            raise Stopped

    calls.Stopped = Stopped
    management = types.ModuleType("comfy.model_management")
    management.throw_exception_if_processing_interrupted = check
    management.get_torch_device = lambda: torch.device("cpu")
    utils = types.ModuleType("comfy.utils")
    utils.ProgressBar = ProgressBar
    monkeypatch.setitem(sys.modules, "comfy", types.ModuleType("comfy"))
    monkeypatch.setitem(sys.modules, "comfy.model_management", management)
    monkeypatch.setitem(sys.modules, "comfy.utils", utils)
    return calls


@pytest.fixture
def ramp():
    """(6, 20, 30, 3): a texture, brighter by 0.02 in each image."""
    texture = torch.rand(20, 30, 3, generator=torch.Generator().manual_seed(0)) * 0.4
    return torch.stack([texture + 0.02 * i for i in range(6)])


def test_the_interface(node):
    required = node.INPUT_TYPES()["required"]
    assert list(required) == list(inspect.signature(node.run).parameters)
    assert required["images"] == ("IMAGE",)
    models, options = required["model"]
    assert options["default"] in models and set(models) >= {"fast", "fine", "dis"}
    assert (node.RETURN_TYPES, node.FUNCTION) == (("IMAGE", "FLOAT"), "run")


def test_counts_and_passed_frames(node, ramp):
    made, fps = node.run(ramp, model="average", multiplier=3, source_fps=10.0)
    assert made.shape == (16, 20, 30, 3) and made.dtype == torch.float32 and fps == 30
    assert torch.equal(made[::3], ramp)  # to the bit
    expected = ramp[0] + 0.02 / 3
    torch.testing.assert_close(made[1], expected, atol=1 / 65535, rtol=0)


@pytest.mark.parametrize(
    ("source", "target", "count", "fps"),
    [(24.0, 60.0, 13, 60), (23.976, 59.94, 13, Fraction(60000, 1001)), (10.0, 4.0, 3, 4)],
)
def test_rates(node, ramp, source, target, count, fps):
    made, found = node.run(ramp, model="average", source_fps=source, target_fps=target)
    assert len(made) == count and found == pytest.approx(float(fps))  # 5 intervals: 12.5 or 2 steps
    torch.testing.assert_close(made[2], ramp[0] + 0.02 * 2 * source / target, atol=1e-4, rtol=0)


def test_a_cut_is_not_crossed(node, ramp):
    after = 0.9 - ramp
    clip = torch.cat([ramp, after])
    made, _ = node.run(clip, model="average", multiplier=4)
    assert torch.equal(made[20:23], ramp[5].expand(3, -1, -1, -1))  # up to halfway, the nearer
    assert torch.equal(made[23], after[0]) and torch.equal(made[24], after[0])
    crossed, _ = node.run(clip, model="average", multiplier=4, scene_cuts=False)
    torch.testing.assert_close(crossed[22], (ramp[5] + after[0]) / 2, atol=1e-4, rtol=0)
    # of two images, the frames between are wanted however different they are
    pair, _ = node.run(torch.stack([ramp[5], after[0]]), model="average")
    torch.testing.assert_close(pair[1], crossed[22], atol=2e-5, rtol=0)


def test_real_frames_and_few_at_a_time(node, real_clip, monkeypatch):
    """The shipped model on a real clip: what the Interpolator makes of each pair."""
    with open_source(real_clip("carphone_pristine.mp4")) as source:
        read = source.frames()
        frames = [source.to_rgb(next(read).picture) for _ in range(4)]
        read.close()
    images = torch.stack([torch.from_numpy(frame).float() / 255 for frame in frames])
    made, _ = node.run(images, model="fast")
    assert made.shape == (7, 144, 176, 3) and torch.equal(made[::2], images)
    model = Interpolator.from_pretrained("fast")
    pair = [image.permute(2, 0, 1)[None] for image in images]
    for k in range(3):
        expected = model(pair[k], pair[k + 1], 0.5)[0].permute(1, 2, 0)
        # (Equal pixels are put back, which the model changes by a level or two.)
        torch.testing.assert_close(made[2 * k + 1], expected, atol=8e-3, rtol=0)


def test_a_long_batch_is_streamed(node, ramp, monkeypatch):
    """Images become frames a few at a time, however long the batch is: the queues hold 21 when
    the model is slow, with a margin for machines with more threads."""
    module = sys.modules[type(node).__module__]
    batches, ahead = [], []

    class Watched(module._Batch):
        def __init__(self, *args):
            super().__init__(*args)
            batches.append(self)

    def model(frame_1, frame_2, ts):
        ahead.append(batches[0].count - len(ahead))
        return [frame_1 for _ in ts]

    monkeypatch.setattr(module, "_Batch", Watched)
    monkeypatch.setattr(module, "_load", lambda *_: model)
    images = ramp.repeat(20, 1, 1, 1)[:, :4, :4]
    assert len(node.run(images, scene_cuts=False)[0]) == 239
    assert len(ahead) == 119 and max(ahead) <= 40


def test_progress_and_interruption(node, ramp, comfy):
    made, _ = node.run(ramp, model="average")
    assert comfy.total == comfy.done == len(made) == 11
    comfy.done, comfy.stop_at = 0, 3
    with pytest.raises(comfy.Stopped):
        node.run(ramp, model="average")


def test_one_image_and_wrong_ones(node, ramp):
    made, _ = node.run(ramp[:1], model="average")
    assert torch.equal(made, ramp[:1])
    with pytest.raises(ValueError, match=r"RGB, not \(6, 20, 30, 4\)"):
        node.run(torch.cat([ramp, ramp[..., :1]], -1))
    with pytest.raises(ValueError, match=r"at least one image, not \(0, 20, 30, 3\)"):
        node.run(ramp[:0])
    with pytest.raises(ValueError, match="source_fps must be above 0, got 0"):
        node.run(ramp, source_fps=0.0)
