"""Losses, gradients and weights that are NaN or inf: found, named, kept, skipped."""

import detectron2.utils.comm as comm
import pytest
import torch
from detectron2.engine import launch

from tests.helpers.training_runs import make_trainer
from zoomin_d2.engine import NonFiniteError
from zoomin_d2.engine.resilience.launching import run_and_leave
from zoomin_d2.engine.resilience.nonfinite import NonFiniteGuard


def _spoil(trainer, iterations: set[int], spoil) -> None:
    """Apply ``spoil`` to the losses of some iterations."""
    model = trainer._trainer.model
    model.register_forward_hook(
        lambda _m, _i, losses: (
            spoil(losses) if trainer.iter in iterations and model.training else losses
        )
    )


def _nan(losses: dict) -> dict:
    return {**losses, "loss_smooth": losses["loss_smooth"] * float("nan")}


def _weights(trainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in trainer.bare_model.generator.parameters()]


def test_training_stops_and_resumes_before(datasets_here, tmp_path):
    trainer = make_trainer(datasets_here, tmp_path)
    _spoil(trainer, {4}, _nan)
    with pytest.raises(NonFiniteError) as caught:
        trainer.train()
    message = str(caught.value)
    assert "iteration=4" in message and "'loss_smooth': nan" in message
    assert "triplets_tiny/scene/" in message and "SKIP_NONFINITE" in message
    kept = torch.load(tmp_path / "nonfinite/iteration_0000004_inputs_0.pth", weights_only=True)
    assert [x["file_name"] in message for x in kept["batch"]] == [True, True]
    assert kept["batch"][0]["frame_1"].shape == (3, 64, 64)
    state = torch.load(tmp_path / "nonfinite/iteration_0000004_state.pth", weights_only=True)
    # Found before the step of the same iteration: the weights that made the NaN.
    assert all(v.isfinite().all() for v in state["model"].values())
    assert state["trainer"]["iteration"] == 4
    again = make_trainer(datasets_here, tmp_path, resume=True)
    assert again.start_iter == 3  # the checkpoint of iteration 2
    again.train()
    assert (tmp_path / "model_final.pth").exists()


def test_late_finding_names_its_iteration(datasets_here, tmp_path):
    trainer = make_trainer(datasets_here, tmp_path / "a", "SOLVER.METRIC_PERIOD", "6")
    batches = {}
    model = trainer._trainer.model
    model.register_forward_pre_hook(lambda _m, args: batches.setdefault(trainer.iter, args[0]))
    _spoil(trainer, {3}, _nan)  # the weights are NaN from then on; read in iteration 5
    with pytest.raises(NonFiniteError, match="iteration=3"):
        trainer.train()
    folder = tmp_path / "a/nonfinite"
    kept = torch.load(folder / "iteration_0000003_inputs_0.pth", weights_only=True)["batch"]
    assert [x["file_name"] for x in kept] == [x["file_name"] for x in batches[3]]
    assert all(torch.equal(x["frame_t"], y["frame_t"]) for x, y in zip(kept, batches[3]))
    state = torch.load(folder / "iteration_0000003_state.pth", weights_only=True)
    assert state["found_at_iteration"] == 5


def test_spoiled_weights_are_not_saved(datasets_here, tmp_path):
    overrides = ("SOLVER.METRIC_PERIOD", "100", "SOLVER.CHECKPOINT_PERIOD", "2")
    trainer = make_trainer(datasets_here, tmp_path, *overrides)
    trainer.checkpointer.save("model_0000000")

    class InfinityOnce(torch.autograd.Function):  # finite loss, infinite gradient
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad * float("inf")

    _spoil(trainer, {1}, lambda x: {**x, "loss_smooth": InfinityOnce.apply(x["loss_smooth"])})
    with pytest.raises(NonFiniteError, match=r"weights became.*generator\..*iteration=1"):
        trainer.train()
    assert not (tmp_path / "model_0000001.pth").exists()


def test_skipping_changes_no_weights(datasets_here, tmp_path, caplog):
    trainer = make_trainer(
        datasets_here, tmp_path, "SOLVER.SKIP_NONFINITE", "True", "SOLVER.MAX_ITER", "4"
    )
    _spoil(trainer, {1, 2}, _nan)
    seen = {}
    before = trainer.before_step

    def remember():
        hook = trainer._hooks[0]
        seen[trainer.iter] = (
            _weights(trainer),
            [p.detach().clone() for p in hook.discriminator.parameters()],
            [v["exp_avg"].clone() for v in trainer._trainer.optimizer.state.values()],
        )
        before()

    trainer.before_step = remember
    trainer.train()
    assert trainer.guard.num_skipped == 2
    for ours, later in zip(seen[1], seen[3]):
        assert all(torch.equal(x, y) for x, y in zip(ours, later))
    assert not all(torch.equal(x, y) for x, y in zip(seen[0][0], seen[1][0]))
    assert not all(torch.equal(x, y) for x, y in zip(seen[3][0], _weights(trainer)))
    assert (tmp_path / "model_final.pth").exists()


def test_skipping_without_end_stops(datasets_here, tmp_path, monkeypatch):
    monkeypatch.setattr("zoomin_d2.engine.resilience.nonfinite.MAX_SKIPPED_IN_A_ROW", 4)
    trainer = make_trainer(
        datasets_here,
        tmp_path,
        *("SOLVER.SKIP_NONFINITE", "True", "SOLVER.MAX_ITER", "9"),
        config="baseline",
    )
    _spoil(trainer, set(range(9)), _nan)
    with pytest.raises(NonFiniteError, match=r"4 iterations in a row.*iteration=3"):
        trainer.train()


def test_discriminators_loss_is_watched(datasets_here, tmp_path):
    trainer = make_trainer(datasets_here, tmp_path, config="gan")
    with torch.no_grad():
        trainer._hooks[0].discriminator.trunk[0].bias.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=r"loss_(d|gan)"):
        trainer.train()


def test_full_disk_keeps_the_message(tmp_path, monkeypatch):
    (tmp_path / "nonfinite").write_text("no folder can be made here")
    guard = NonFiniteGuard(str(tmp_path), load_batch=lambda i: [{"file_name": "a"}])
    guard.watch(7, {"loss": torch.tensor(float("inf"))})
    with pytest.raises(NonFiniteError, match=r"(?s)iteration=7.*batch: a.*could not be saved"):
        guard.verify(7)


def test_losses_are_read_once_per_period(monkeypatch):
    guard = NonFiniteGuard()
    reads = []
    monkeypatch.setattr(torch, "stack", lambda x, stack=torch.stack: reads.append(1) or stack(x))
    for i in range(20):
        guard.watch(i, {"a": torch.tensor(1.0), "b": torch.tensor(2.0)})
    assert not reads
    guard.verify(19)
    assert len(reads) == 1


def _nan_on_one_process(folder: str) -> None:
    """Process 1 meets a NaN in iteration 3, process 0 nothing; both read their losses in 5."""
    rank = comm.get_rank()
    guard = NonFiniteGuard(folder, load_batch=lambda i: [{"file_name": f"clip {rank}, {i}"}])
    for iteration in range(6):
        is_bad = rank == 1 and iteration == 3
        guard.watch(iteration, {"loss": torch.tensor(float("nan") if is_bad else 1.0)})
    try:
        guard.verify(5)
    except NonFiniteError as error:
        with open(f"{folder}/message_{rank}.txt", "w") as f:
            f.write(str(error))


def test_nan_in_one_process_stops_all(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # gloo
    args = (_nan_on_one_process, str(tmp_path))
    launch(run_and_leave, 2, dist_url="auto", args=args)
    messages = [(tmp_path / f"message_{rank}.txt").read_text() for rank in (0, 1)]
    assert messages[0] == messages[1]
    assert "iteration=3!" in messages[0] and "process 1: {'loss': nan}" in messages[0]
    assert "clip 1, 3" in messages[0] and "clip 0" not in messages[0]
    kept = [x.name for x in (tmp_path / "nonfinite").iterdir()]
    assert kept == ["iteration_0000003_inputs_1.pth"]
