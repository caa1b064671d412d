"""zoomin_d2.modeling.synthesis_step: recorded on a GPU it gives what it gives unrecorded."""

import copy
import functools

import pytest
import torch
from detectron2.modeling import build_model
from torch.utils._pytree import tree_leaves

from zoomin_d2.config import get_zoomin_cfg


def _model(features: list[str], device: str, compiled: bool = False):
    cfg = get_zoomin_cfg()
    cfg.MODEL.DEVICE = device
    cfg.MODEL.GENERATOR.NAME = "fast"
    cfg.MODEL.FROZEN_RPN.WEIGHTS = ""
    cfg.MODEL.PERCEPTUAL.FEATURES = features
    cfg.SOLVER.COMPILE = compiled
    torch.manual_seed(0)
    return build_model(cfg).train()


def _batch(seed: int, size: int = 64) -> list[dict]:
    random = torch.Generator().manual_seed(seed)
    frames = torch.rand((2, 3, 3, size, size), generator=random)
    names = ("frame_1", "frame_t", "frame_2")
    return [{**dict(zip(names, x)), "t": 0.25 + 0.5 * i} for i, x in enumerate(frames)]


def _losses_and_gradients(model, batch):
    model.zero_grad()
    losses = model(batch)
    sum(losses.values()).backward()
    norms = torch.stack([p.grad.norm() for p in model.generator.parameters()])
    return torch.stack(list(losses.values())).detach().clone(), norms.clone(), model.step_record


@pytest.mark.needs_gpu
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("features", [[], ["rpn"]])
def test_a_recorded_step_is_the_step(features, compiled):
    plain, recorded = _model(features, "cuda"), _model(features, "cuda", compiled)
    recorded.record_training(2, (64, 64))
    kept = []
    for seed in (1, 2, 3):
        expected, gradients, record = _losses_and_gradients(plain, _batch(seed))
        losses, recorded_gradients, replayed = _losses_and_gradients(recorded, _batch(seed))
        torch.testing.assert_close(losses, expected, rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(recorded_gradients, gradients, rtol=0.02, atol=0.05)
        torch.testing.assert_close(
            replayed.outputs.pred_frame, record.outputs.pred_frame, rtol=0, atol=5e-3
        )
        kept.append((losses, expected))
    for losses, expected in kept:  # later replays have not overwritten them
        torch.testing.assert_close(losses, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.needs_gpu
def test_recorded_step_takes_gradients():
    plain, recorded = _model([], "cuda"), _model([], "cuda")
    recorded.record_training(2, (64, 64))
    gradients = []
    for model in (plain, recorded):
        step = model._outside["synthesis_step"]
        frames = [torch.stack([x[k] for x in _batch(1)]).cuda() for k in ("frame_1", "frame_2")]
        pred_frame, _, losses = step(*frames, frames[0], torch.tensor([0.3, 0.6]).cuda())
        model.zero_grad()
        (sum(losses.values()) + 100 * pred_frame.square().mean()).backward()
        gradients.append(torch.stack([p.grad.norm() for p in model.generator.parameters()]))
    torch.testing.assert_close(*gradients, rtol=0.02, atol=0.05)


@pytest.mark.needs_gpu
def test_other_size_than_recorded_is_named():
    model = _model([], "cuda")
    model.record_training(2, (64, 64))
    with pytest.raises(ValueError, match=r"SOLVER\.CUDA_GRAPH"):
        model(_batch(1, size=96))


def test_a_graph_gets_tensors_alone(monkeypatch):
    def as_graph(module, arguments):
        # What CUDA graphs are made of, and what the real function fails at.
        assert all(isinstance(x, torch.Tensor) for x in tree_leaves(module(*arguments)))
        return type(module)(copy.copy(module.step))  # which is never recorded

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", as_graph)
    plain, recorded = _model([], "cpu"), _model([], "cpu")
    recorded._outside["synthesis_step"].record(2, (64, 64), torch.device("cpu"))
    results = [_losses_and_gradients(model, _batch(1)) for model in (plain, recorded)]
    torch.testing.assert_close(results[1][:2], results[0][:2])
    maps = [record.outputs.maps for _, _, record in results]
    torch.testing.assert_close(maps[1], maps[0])


def test_on_a_cpu_nothing_is_recorded():
    model = _model([], "cpu")
    model.record_training(2, (64, 64))
    assert model(_batch(1)).keys() == {"loss_photometric", "loss_smooth", "loss_levels"}
    assert model(_batch(1, size=96))


def test_one_graph_of_generator_and_losses(monkeypatch):
    compile_all = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
    plain = _model([], "cpu")
    monkeypatch.setattr(torch, "compile", compile_all)
    compiled = _model([], "cpu", compiled=True)
    expected, gradients, _ = _losses_and_gradients(plain, _batch(1))
    losses, compiled_gradients, _ = _losses_and_gradients(compiled, _batch(1))
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(compiled_gradients, gradients, rtol=1e-3, atol=1e-3)
