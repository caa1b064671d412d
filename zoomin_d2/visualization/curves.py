"""TensorBoard logs of trainings go in, a figure of their curves comes out."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Curves = dict[str, tuple[np.ndarray, np.ndarray]]  # tag -> (iterations, values)


def read_curves(folder: str | os.PathLike) -> Curves:
    """Every scalar that the event files of one training hold; of a resumed one, all parts.

    Where parts overlap (a run was resumed before its end), the later part counts.

    Raises:
        ValueError: there is no event file in the folder.
    """
    files = sorted(Path(folder).glob("events.out.tfevents.*"))
    if not files:
        raise ValueError(f"there are no TensorBoard logs (events.out.tfevents.*) in '{folder}'")
    found: dict[str, dict[int, float]] = {}
    for file in files:
        events = EventAccumulator(str(file), size_guidance={"scalars": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            scalars = events.Scalars(tag)
            points = found.setdefault(tag, {})
            if scalars:  # what an earlier part had beyond its last checkpoint was lost
                points = {k: v for k, v in points.items() if k < scalars[0].step}
            points.update({scalar.step: scalar.value for scalar in scalars})
            found[tag] = points
    return {
        tag: (np.array(sorted(points)), np.array([points[k] for k in sorted(points)]))
        for tag, points in found.items()
        if points
    }


def draw_curves(runs: Mapping[str, Curves], smoothing: float = 0.9) -> Figure:
    """Losses (each in its own panel) and test PSNR of one or several trainings.

    Args:
        runs: name -> curves.
        smoothing: weight of the past in the thick line; the thin one is the logged values.

    Raises:
        ValueError: no run has a loss or a PSNR.
    """
    tags = {tag for curves in runs.values() for tag in curves}
    shown = sorted(t for t in tags if t.rsplit("/", 1)[-1].startswith("loss_"))
    shown += sorted(t for t in tags if t.endswith("interpolation/PSNR"))
    if not shown:
        raise ValueError("the logs hold no losses and no evaluations")
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.9 * rows), layout="constrained")
    for axes, tag in zip(figure.subplots(rows, columns, squeeze=False).flat, shown):
        for i, (name, curves) in enumerate(runs.items()):
            if tag not in curves:
                continue
            steps, values = curves[tag]
            colour = f"C{i}"
            if tag.endswith("PSNR"):
                axes.plot(steps, values, color=colour, marker="o", markersize=3, label=name)
            else:
                axes.plot(steps, values, color=colour, linewidth=0.5, alpha=0.35)
                axes.plot(steps, smooth(values, smoothing), color=colour, label=name)
        axes.set_title(tag, fontsize=10)
        axes.set_xlabel("iteration")
        axes.grid(alpha=0.2)
    for axes in figure.axes[len(shown) :]:
        axes.remove()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average without the bias of its start, as TensorBoard draws it."""
    smoothed = np.empty(len(values))
    average, total = 0.0, 0.0
    for i, value in enumerate(values):
        average = weight * average + (1 - weight) * value
        total = weight * total + (1 - weight)
        smoothed[i] = average / total
    return smoothed
