"""Results of `FrameBenchmark` in, Markdown tables and a plot like the paper's Fig. 4 out."""

from pathlib import Path

from tabulate import tabulate

from zoomin_d2.visualization.quality_plot import Cost, draw_quality_plot

_STYLE = {"tablefmt": "github", "disable_numparse": True}


def format_report(content: dict) -> str:
    """All tables of one benchmark.json that have rows."""
    machine = content["machine"]
    where = f"{machine['cpu']}, {machine['threads']} threads"
    if machine["device"] != "cpu":
        where = f"{machine['device']}, CUDA {machine['cuda']}; {where}"
    lines = [f"{where}, torch {machine['torch']}, commit {content['commit']}", ""]
    lines += _section("Milliseconds per frame", _latency_table(content))
    lines += _section("Frames per second, several pairs at once", _throughput_table(content))
    lines += _section("Frames per second, host memory to host memory", _fps(content, "stream"))
    lines += _section("Milliseconds for t = 1/4, 1/2, 3/4", _cells(content, "three times"))
    lines += _section("Peak memory, MB", _memory_table(content))
    lines += _section("PSNR (dB)", _quality_table(content))
    lines += _section("Networks", _methods_table(content))
    errors = [r for r in content["rows"] if "error" in r]
    lines += [f"- {_label(r)} {_size(r)} ({r['what']}): {r['error']}" for r in errors]
    if content["left_out"]:
        lines += ["", f"{len(content['left_out'])} measurements were skipped: time was up."]
    return "\n".join(lines) + "\n"


def draw_quality_against_time(content: dict, path: Path) -> bool:
    """Fig. 4 of the paper: PSNR over milliseconds; a circle's area shows the parameters.

    Each method is shown in its fastest mode, at the size that most methods were timed at. Nothing
    is written if fewer than two methods have both numbers.
    """
    quality, costs = {}, {}
    for name, milliseconds, psnr, parameters, mode in quality_and_time(content):
        method = f"{name} ({mode})" + (f", {parameters / 1e6:.1f} M" if parameters else "")
        quality[method], costs[method] = psnr, Cost(milliseconds, parameters)
    size = common_size(content)
    where = size and f"{size[0]} x {size[1]}, {content['machine']['device']}"
    figure = draw_quality_plot(quality, costs, "PSNR (dB)", where or "")
    if figure is None:
        return False
    figure.savefig(path, dpi=150)
    return True


def quality_and_time(content: dict) -> list[tuple[str, float, float, int, str]]:
    """(method, milliseconds, PSNR, parameters, mode) of every method that has both numbers."""
    latencies = _rows(content, "latency", batch=1)
    size = common_size(content)
    points = []
    for name, facts in content["methods"].items():
        timed = [r for r in latencies if r["method"] == name and (r["width"], r["height"]) == size]
        scored = [r for r in _rows(content, "quality") if r["method"] == name]
        if timed and scored:
            fastest = min(timed, key=lambda r: r["median_ms"])
            same = [r for r in scored if _label(r) == _label(fastest)] or scored
            parameters = facts.get("parameters", 0)
            points.append(
                (name, fastest["median_ms"], same[0]["PSNR"], parameters, fastest["mode"])
            )
    return points


def common_size(content: dict) -> tuple[int, int] | None:
    """(width, height) at which most methods were timed, one pair at a time; among equally common
    sizes the paper's own, 2048 x 1024, or else the largest."""
    methods: dict[tuple[int, int], set[str]] = {}
    for row in _rows(content, "latency", batch=1):
        methods.setdefault((row["width"], row["height"]), set()).add(row["method"])
    return max(
        methods, key=lambda s: (len(methods[s]), s == (2048, 1024), s[0] * s[1]), default=None
    )


def _rows(content: dict, what: str, **key) -> list[dict]:
    return [
        r
        for r in content["rows"]
        if r["what"] == what and "error" not in r and key.items() <= r.items()
    ]


def _label(row: dict) -> str:
    return f"{row['method']}, {row['mode']}, {row['dtype']}"


def _size(row: dict) -> str:
    return f"{row['width']}x{row['height']}" if "width" in row else ""


def _table(rows: list[dict], cell) -> str:
    """Methods down, sizes across."""
    if not rows:
        return ""
    pixels = {_size(r): r["width"] * r["height"] for r in rows}
    sizes = sorted(pixels, key=lambda size: pixels[size])
    cells = {(_label(r), _size(r)): cell(r) for r in rows}
    labels = list(dict.fromkeys(_label(r) for r in rows))
    body = [[label, *(cells.get((label, size), "-") for size in sizes)] for label in labels]
    align = ("left", *["right"] * len(sizes))
    return tabulate(body, headers=["method", *sizes], colalign=align, **_STYLE)


def _latency_table(content: dict) -> str:
    return _table(
        _rows(content, "latency", batch=1),
        lambda r: f"{r['median_ms']:.2f} ({r['p10_ms']:.2f}-{r['p90_ms']:.2f})",
    )


def _throughput_table(content: dict) -> str:
    rows = [r for r in _rows(content, "latency") if r["batch"] > 1]
    return _table(rows, lambda r: f"{r['fps']:.1f} (batch {r['batch']})")


def _memory_table(content: dict) -> str:
    rows = [r for r in _rows(content, "latency", batch=1) if r["peak_memory_mb"] is not None]
    return _table(rows, lambda r: f"{r['peak_memory_mb']:.0f}")


def _fps(content: dict, what: str) -> str:
    return _table(_rows(content, what), lambda r: f"{r['fps']:.1f}")


def _cells(content: dict, what: str) -> str:
    return _table(_rows(content, what), lambda r: f"{r['median_ms']:.2f}")


def _quality_table(content: dict) -> str:
    rows = _rows(content, "quality")
    if not rows:
        return ""
    exact = {
        r["method"]: r["PSNR"] for r in rows if (r["mode"], r["dtype"]) == ("eager", "float32")
    }
    body = []
    for row in rows:
        reference = exact.get(row["method"])
        difference = "-" if reference is None else f"{row['PSNR'] - reference:+.3f}"
        body.append([_label(row), f"{row['PSNR']:.2f}", difference, row["images"]])
    heads = ["method", "PSNR", "against eager float32", "images"]
    return tabulate(body, headers=heads, colalign=("left", *["right"] * 3), **_STYLE)


def _methods_table(content: dict) -> str:
    body = [
        [
            name,
            f"{facts['parameters'] / 1e6:.2f} M" if "parameters" in facts else "-",
            f"{facts['kmac_per_pixel']:.1f}" if "kmac_per_pixel" in facts else "-",
        ]
        for name, facts in content["methods"].items()
    ]
    return tabulate(
        body,
        headers=["method", "parameters", "kMAC/px"],
        colalign=("left", "right", "right"),
        **_STYLE,
    )


def _section(title: str, table: str) -> list[str]:
    return [f"**{title}**", "", table, ""] if table else []
