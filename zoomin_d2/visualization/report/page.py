"""Scores and pictures in, a folder with index.html out that a browser opens from disk."""

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import jinja2
from markupsafe import Markup

from zoomin_d2.files import write_atomically
from zoomin_d2.visualization.quality_plot import Cost, quality_plot_svg
from zoomin_d2.visualization.report.saved import Propose
from zoomin_d2.visualization.report.scores import Scores
from zoomin_d2.visualization.report.triplets import RoiMetric, export_triplet

_HERE = Path(__file__).parent
_MARK = '<meta name="generator" content="zoomin_d2 report">'
_ASSETS = (
    "report.css",
    "report.js",
    "vendor/README.md",
    "vendor/img-comparison-slider/LICENSE",
    "vendor/img-comparison-slider/index.js",
    "vendor/img-comparison-slider/styles.css",
    "vendor/sortable/LICENSE",
    "vendor/sortable/sortable-base.min.css",
    "vendor/sortable/sortable.a11y.min.js",
    "vendor/sortable/sortable.min.js",
)


class MetricInfo(Protocol):
    """How a metric is shown; `zoomin_d2.evaluation.METRICS` holds these."""

    unit: str
    decimals: int
    meaning: str
    higher_is_better: bool
    ideal: float | None  # the best value, if neither the highest nor the lowest is best


def write_report(
    output: str | os.PathLike,
    scores: Sequence[Scores],
    metrics: Mapping[str, MetricInfo],
    *,
    title: str = "Interpolation report",
    max_triplets: int = 12,
    costs: Mapping[str, Cost] | None = None,
    time_label: str = "",
    roi_metrics: Mapping[str, RoiMetric] | None = None,
    propose: Propose | None = None,
) -> Path:
    """Write the page, its pictures and its scripts; the page needs no network.

    Args:
        output: a new or empty folder, or one that holds an earlier report, which is replaced.
        scores: from `find_scores`.
        metrics: name -> how it is shown; others are left out.
        max_triplets: per dataset, of those whose frames are saved for every method.
        costs: method -> time and parameters, for the plot.
        time_label: what was timed.
        roi_metrics: name -> function(pred, truth) of (3, h, w) uint8, shown beside each ROI's PSNR.
        propose: finds ROIs on a true frame if no evaluation has saved any.

    Returns:
        path of index.html, which is written last.

    Raises:
        ValueError: there are no scores, or the folder holds something other than a report.
    """
    if not scores:
        raise ValueError("there are no scores to report")
    output = Path(output)
    _clear(output)
    by_dataset: dict[str, list[Scores]] = {}
    for item in scores:
        by_dataset.setdefault(item.dataset, []).append(item)
    datasets = []
    for number, (name, items) in enumerate(by_dataset.items()):
        with_frames = [x for x in items if x.saved_frames]
        chosen = _shared_names(with_frames)[:max_triplets]
        triplets = []
        for i, triplet in enumerate(chosen):
            url = f"images/{number}/{i}"
            pictures = export_triplet(
                triplet, with_frames, output / url, url, roi_metrics or {}, propose
            )
            triplets.append(pictures)
        quality = {x.method: x.means["PSNR"] for x in items if "PSNR" in x.means}
        plot = quality_plot_svg(quality, costs or {}, f"PSNR in dB on {name}", time_label)
        datasets.append(_dataset(name, items, metrics, triplets, plot))
    for asset in _ASSETS:
        target = output / "assets" / asset
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_HERE / asset, target)
    text = _render(title, datasets, metrics)
    write_atomically(output / "index.html", lambda f: f.write(text.encode()))
    return output / "index.html"


def _clear(output: Path) -> None:
    """Remove an earlier report; anything else in the folder stays, and is an error."""
    index = output / "index.html"
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        if not index.is_file() or _MARK not in index.read_text(errors="replace"):
            raise ValueError(
                f"{output} is not empty and is not a report: nothing was written. Use a new folder"
            )
        index.unlink()
        for folder in ("images", "assets"):
            shutil.rmtree(output / folder, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    # Written first, so that an interrupted report can be written again.
    write_atomically(index, lambda f: f.write(f"{_MARK}This report is not finished.".encode()))


def _shared_names(items: Sequence[Scores]) -> list[str]:
    """Names of the images that every method has saved, sorted."""
    if not items:
        return []
    shared = set.intersection(*(set(item.saved_frames) for item in items))
    return sorted(shared)


def _dataset(
    name: str,
    items: Sequence[Scores],
    metrics: Mapping[str, MetricInfo],
    triplets: list[dict],
    plot: str | None,
) -> dict:
    shown = [m for m in metrics if any(m in item.means for item in items)]
    # Means over other images cannot be compared, so that none is the best.
    is_fair = len({frozenset(item.images) for item in items}) == 1
    best = {m: _best(items, m, metrics[m]) if is_fair else None for m in shown}
    rows = []
    for item in items:
        cells = [_cell(item.means.get(m), metrics[m], best[m]) for m in shown]
        row = {"method": item.method, "cells": cells, "source": _source(item.provenance)}
        rows.append({**row, "num_images": len(item.images)})
    names = sorted(set().union(*(item.images for item in items)))
    numbers = {
        m: [[_json(x.images.get(n, {}).get(m)) for x in items] for n in names] for m in shown
    }
    return {
        "name": name,
        "metrics": shown,
        "methods": [item.method for item in items],
        "rows": rows,
        "is_fair": is_fair,
        "names": names,
        "numbers": numbers,
        "triplets": triplets,
        "plot": Markup(plot) if plot else None,
    }


def _best(items: Sequence[Scores], metric: str, info: MetricInfo) -> float | None:
    """The best mean as printed, so that means that look equal are marked equally."""
    values = [round(x.means[metric], info.decimals) for x in items if metric in x.means]
    if len(values) < 2:
        return None
    if info.ideal is not None:
        ideal = info.ideal
        return min(values, key=lambda value: abs(value - ideal))
    return max(values) if info.higher_is_better else min(values)


def _cell(value: float | None, info: MetricInfo, best: float | None) -> dict:
    if value is None:
        return {"text": "-", "value": None, "is_best": False}
    is_best = best is not None and round(value, info.decimals) == best
    return {"text": f"{value:.{info.decimals}f}", "value": value, "is_best": is_best}


def _source(provenance: Mapping) -> str:
    """One line about where a row comes from."""
    known = ("command", "weights", "device", "pred", "gt")
    facts = [str(provenance[k]) for k in known if provenance.get(k)]
    if provenance.get("commit"):
        facts.append(f"commit {provenance['commit']}")
    return " · ".join(facts) or "no record of its origin"


def _json(value: float | None) -> float | str | None:
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else "identical"


def _render(title: str, datasets: list[dict], metrics: Mapping[str, MetricInfo]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined
    )
    data = [
        {k: d[k] for k in ("name", "metrics", "methods", "names", "numbers", "triplets")}
        for d in datasets
    ]
    decimals = {name: info.decimals for name, info in metrics.items()}
    units = {name: info.unit for name, info in metrics.items()}
    payload = json.dumps({"datasets": data, "decimals": decimals, "units": units}, allow_nan=False)
    # A name with "</script>" in it must not end the script.
    payload = payload.replace("<", "\\u003c")
    return environment.get_template("page.html").render(
        mark=Markup(_MARK),
        title=title,
        datasets=datasets,
        metrics=metrics,
        payload=Markup(payload),
        has_triplets=any(d["triplets"] for d in datasets),
    )
