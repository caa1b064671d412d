"""Quality against cost, after the paper's Fig. 4: a circle per method, its area the parameters."""

import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure

_INK = "#010203"  # replaced by the colour of the page's text
_COLOURS = ("#3b82c4", "#d9603b", "#3d9c57", "#9b6bc9", "#b8860b", "#c74a8a", "#4a9ca8", "#7a7a7a")


class Cost(NamedTuple):
    """What a method costs; None where nobody measured it."""

    milliseconds: float | None = None
    parameters: int | None = None


def draw_quality_plot(
    quality: Mapping[str, float], costs: Mapping[str, Cost], label: str, time_label: str = ""
) -> str | None:
    """Quality against time, or against parameters where fewer than two methods have a time.

    Args:
        quality: method -> mean, e.g. PSNR in dB.
        costs: method -> cost; methods without are left out.
        label: of the vertical axis.
        time_label: what was timed: size of the frames, device.

    Returns:
        an <svg> element that takes the colour of the text around it, or None where fewer than two
        methods have a cost.
    """
    known = {method: costs[method] for method in quality if method in costs}
    by_time = {m: cost.milliseconds for m, cost in known.items() if cost.milliseconds}
    by_size = {m: cost.parameters / 1e6 for m, cost in known.items() if cost.parameters is not None}
    if len(by_time) >= 2:
        x = by_time
        x_label = f"milliseconds per frame{', ' + time_label if time_label else ''}"
    elif len(by_size) >= 2:
        x = by_size
        x_label = "parameters in millions"
    else:
        return None
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "zoomin_d2", "font.size": 11}):
        figure = _draw(x, quality, costs, (x_label, label), logarithmic=x_label.startswith("milli"))
        svg = io.StringIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    text = svg.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)  # names outside pages
    spoken = ", ".join(f"{method} {quality[method]:.2f} at {x[method]:.3g}" for method in x)
    name = html.escape(f"{label} against {x_label}: {spoken}")
    named = f'role="img" aria-label="{name}"'
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', lambda _: named, text, count=1)


def _draw(
    x: Mapping[str, float],
    quality: Mapping[str, float],
    costs: Mapping[str, Cost],
    labels: Sequence[str],
    logarithmic: bool,
) -> Figure:
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for i, method in enumerate(x):
        area = 60 + 40 * (costs[method].parameters or 0) / 1e6
        colour = _COLOURS[i % len(_COLOURS)]
        axes.scatter(x[method], quality[method], s=area, color=colour, alpha=0.75)
        offset = (8 + area**0.5 / 2, 3)
        axes.annotate(
            method, (x[method], quality[method]), offset, textcoords="offset points", color=_INK
        )
    if logarithmic:
        axes.set_xscale("log")
    axes.margins(x=0.22, y=0.15)
    axes.set_xlabel(labels[0], color=_INK)
    axes.set_ylabel(labels[1], color=_INK)
    axes.tick_params(colors=_INK, which="both")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_INK)
    axes.grid(color=_INK, alpha=0.12)
    return figure
