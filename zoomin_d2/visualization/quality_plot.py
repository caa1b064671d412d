"""Quality against cost, like the paper's Fig. 4: a circle per method; area shows parameters."""

import html
import io
import re
from collections.abc import Mapping
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

_INK = "#010203"  # replaced by the color of the page's text
_COLORS = ("#3b82c4", "#d9603b", "#3d9c57", "#9b6bc9", "#b8860b", "#c74a8a", "#4a9ca8", "#7a7a7a")


class Cost(NamedTuple):
    """What a method costs; None if it was not measured."""

    milliseconds: float | None = None
    parameters: int | None = None


def draw_quality_plot(
    quality: Mapping[str, float],
    costs: Mapping[str, Cost],
    label: str,
    time_label: str = "",
    ink: str = "black",
) -> Figure | None:
    """Quality against time, or against parameters if fewer than two methods have a time.

    Args:
        quality: method -> mean, e.g. PSNR in dB.
        costs: method -> cost; methods without a cost are left out.
        label: label of the vertical axis.
        time_label: what was timed: size of the frames, device.
        ink: color of axes and letters.

    Returns:
        None if fewer than two methods have a cost.
    """
    known = {method: costs[method] for method in quality if method in costs}
    by_time = {m: cost.milliseconds for m, cost in known.items() if cost.milliseconds}
    by_size = {m: cost.parameters / 1e6 for m, cost in known.items() if cost.parameters is not None}
    is_timed = len(by_time) >= 2
    x = by_time if is_timed else by_size
    if len(x) < 2:
        return None
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for i, method in enumerate(x):
        area = 60 + 40 * (costs[method].parameters or 0) / 1e6
        color = _COLORS[i % len(_COLORS)]
        axes.scatter(x[method], quality[method], s=area, color=color, alpha=0.75)
        # Names go into a legend: next to their circles, names of equal methods would overlap.
        axes.scatter([], [], s=60, color=color, alpha=0.75, label=method)
    if is_timed:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.22, y=0.15)
    time = f"milliseconds per frame{', ' + time_label if time_label else ''}"
    axes.set_xlabel(time if is_timed else "parameters in millions", color=ink)
    axes.set_ylabel(label, color=ink)
    axes.tick_params(colors=ink, which="both")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(ink)
    axes.grid(color=ink, alpha=0.12)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, labelcolor=ink)
    spoken = ", ".join(f"{method} {quality[method]:.2f} at {x[method]:.3g}" for method in x)
    figure.set_label(f"{label} against {axes.get_xlabel()}: {spoken}")
    return figure


def quality_plot_svg(
    quality: Mapping[str, float], costs: Mapping[str, Cost], label: str, time_label: str = ""
) -> str | None:
    """`draw_quality_plot` as an <svg> element that takes the color of the text around it."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "zoomin_d2", "font.size": 11}):
        figure = draw_quality_plot(quality, costs, label, time_label, _INK)
        if figure is None:
            return None
        svg = io.StringIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    text = svg.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)  # it names external pages
    named = f'role="img" aria-label="{html.escape(str(figure.get_label()))}"'
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', lambda _: named, text, count=1)
