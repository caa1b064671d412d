"""Curves from TensorBoard logs."""

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from zoomin_d2.visualization.curves import draw_curves, read_curves, smooth


def write_log(folder, steps, value) -> None:
    with SummaryWriter(str(folder), filename_suffix=f".{steps[0]}") as writer:
        for step in steps:
            writer.add_scalar("loss_photometric", value(step), step)
            writer.add_scalar("lr", 0.1, step)
        writer.add_scalar("interpolation/PSNR", 30.0, steps[-1])


def test_a_resumed_run_is_one_curve(tmp_path):
    write_log(tmp_path, [0, 10, 20, 30], lambda step: 100.0 + step)
    write_log(tmp_path, [20, 30, 40], lambda step: 1.0 * step)  # resumed at 20
    steps, values = read_curves(tmp_path)["loss_photometric"]
    assert steps.tolist() == [0, 10, 20, 30, 40]
    assert values.tolist() == [100, 110, 20, 30, 40]


def test_losses_and_psnr_of_two_runs_are_drawn(tmp_path):
    for name in ("a", "b"):
        write_log(tmp_path / name, [0, 10], float)
    figure = draw_curves({name: read_curves(tmp_path / name) for name in ("a", "b")})
    assert [axes.get_title() for axes in figure.axes] == ["loss_photometric", "interpolation/PSNR"]
    assert len(figure.axes[1].lines) == 2


def test_smoothing_starts_without_a_bias():
    assert smooth(np.full(5, 3.0), 0.9) == pytest.approx(3.0)
    # (0.5 * (0.5 * 0 + 0.5 * 2) + 0.5 * 5) / (1 - 0.5^3) of 0, 2, 5
    assert smooth(np.array([0.0, 2.0, 5.0]), 0.5)[-1] == pytest.approx(3.0 / 0.875)


def test_no_logs_are_named(tmp_path):
    with pytest.raises(ValueError, match="there are no TensorBoard logs"):
        read_curves(tmp_path)
    with pytest.raises(ValueError, match="no losses"):
        draw_curves({"a": {}})
