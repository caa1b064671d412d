"""Time, memory and quality of single frames: every method in every mode, all in one json file."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import cast

import torch
from torch import nn

from zoomin_d2.config import get_zoomin_cfg
from zoomin_d2.data import build_interpolation_test_loader
from zoomin_d2.evaluation.benchmark.measurements import (
    Effort,
    Method,
    latency,
    peer_macs,
    quality,
    several_times,
    streamed,
)
from zoomin_d2.evaluation.benchmark.report import draw_quality_against_time, format_report
from zoomin_d2.evaluation.complexity import count_macs, count_parameters
from zoomin_d2.files import write_json
from zoomin_d2.inference.engine import can_use_triton
from zoomin_d2.inference.peers import TimedModel, TimedPeer, load_peer

BARS = {(256, 448), (1024, 2048), (2160, 3840)}  # (height, width), measured first
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class Measurements:
    """The measurements of one json file, which is written after each of them.

    Args:
        path: the json file; `resume` keeps its contents.
        budget: seconds after which no new measurement starts.
        settings: the settings of all measurements; at least "machine".

    Raises:
        ValueError: the file to be resumed is from another machine.
    """

    def __init__(self, path: Path, resume: bool, budget: float, settings: dict):
        self.path = path
        self.begin = time.monotonic()
        self.deadline = self.begin + budget
        self.content: dict = {**settings, "rows": [], "left_out": []}
        if resume and path.exists():
            old = json.loads(path.read_text())
            if old.get("machine") != settings["machine"]:
                raise ValueError(f"{path} was measured on another machine: use another --output")
            self.content["rows"] = old["rows"]
        path.parent.mkdir(parents=True, exist_ok=True)

    def measure(self, key: dict, call: Callable[[], dict]) -> None:
        """Add the result of ``call()``, or its error, to the row that ``key`` names."""
        if any(key.items() <= row.items() and "error" not in row for row in self.content["rows"]):
            return
        if self.late():
            self.content["left_out"].append(key)
            self.save()
            return
        label = " ".join(str(v) for v in key.values())
        try:
            result = call()
        except torch.OutOfMemoryError:
            result = {"error": "out of memory"}
        except Exception as error:  # from a peer or a compiler; the other rows still count
            first_line = str(error).partition("\n")[0]
            result = {"error": f"{type(error).__name__}: {first_line}"}
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        torch.compiler.reset()  # otherwise the ninth size would run uncompiled
        self.content["rows"] = [r for r in self.content["rows"] if not key.items() <= r.items()]
        self.content["rows"].append({**key, **result})
        shown = {k: v for k, v in result.items() if k in ("median_ms", "fps", "PSNR", "error")}
        print(f"[{time.monotonic() - self.begin:5.0f} s] {label}: {shown}", flush=True)
        self.save()

    def late(self) -> bool:
        return time.monotonic() > self.deadline

    def save(self) -> None:
        write_json(self.path, self.content)


@dataclass(frozen=True)
class Contestant:
    """Something to measure: ``make(mode, dtype)`` loads it; `facts` are known beforehand."""

    name: str
    make: Callable[[str, torch.dtype], Method]
    facts: dict
    is_peer: bool = False


@dataclass(frozen=True)
class FramePlan:
    """What `FrameBenchmark` measures.

    Attributes:
        modes: from `peers.MODES`, the most important first; modes that a device lacks are skipped.
        dtypes: keys of `DTYPES`.
        sizes: (height, width).
        batch, batch_pixels: pairs at once for throughput, at sizes of at most this many pixels.
        samples: triplets for PSNR, see `read_samples`.
    """

    device: torch.device
    modes: Sequence[str]
    dtypes: Sequence[str]
    sizes: Sequence[tuple[int, int]]
    effort: Effort
    batch: int
    batch_pixels: int
    samples: Sequence[dict] = ()
    compiled_quality: bool = False


def our_contestant(
    name: str,
    load: Callable[[], nn.Module],
    plan: FramePlan,
    random_weights: bool = False,
) -> Contestant:
    """One of our generators, reloaded for every mode; with random weights it is only timed."""
    generator = load()
    learnt, frozen = count_parameters(generator)
    macs = count_macs(generator, *plan.sizes[0]).kilo_per_pixel
    facts = {"parameters": learnt, "frozen_values": frozen, "kmac_per_pixel": round(macs, 3)}
    facts["triton"] = can_use_triton(generator)

    def make(mode: str, dtype: torch.dtype) -> TimedModel:
        return TimedModel(load(), plan.device, dtype, mode, random_weights=random_weights)

    return Contestant(name, make, facts)


def peer_contestant(name: str, plan: FramePlan) -> Contestant:
    """A third-party method, "module:function"; see `zoomin_d2.inference.peers`."""
    peer = load_peer(name)

    def make(mode: str, dtype: torch.dtype) -> TimedPeer:
        return TimedPeer(peer, plan.device, dtype, mode)

    return Contestant(name.split(":")[1], make, {}, is_peer=True)


class FrameBenchmark:
    """Measures every contestant by the plan, the most important first, into one json file."""

    def __init__(self, contestants: Sequence[Contestant], plan: FramePlan, bench: Measurements):
        # Peers first, because the bars are relative to a compiled peer.
        self.contestants = sorted(contestants, key=lambda x: not x.is_peer)
        self.plan = plan
        self.bench = bench

    def run(self) -> dict:
        """The content of the json file; benchmark.md and fig4.png are written beside it."""
        plan, bench = self.plan, self.bench
        on_gpu = plan.device.type == "cuda"
        torch.backends.cudnn.benchmark = on_gpu
        modes = [m for m in plan.modes if on_gpu or m not in ("graph", "triton")]
        quick = [m for m in modes if m != "compiled"]
        compiled = [m for m in modes if m == "compiled"]
        bars = [s for s in plan.sizes if s in BARS]
        others = [s for s in plan.sizes if s not in BARS]
        bench.content["methods"] = {x.name: x.facts for x in self.contestants}
        self._time(quick, bars)
        self._time(compiled, bars)
        self._score(quick, plan.dtypes)
        if "float32" not in plan.dtypes:  # the reference for the others
            self._score(["eager"], ["float32"])
        self._time(quick, others)
        self._load(quick)
        self._time(compiled, others)
        if plan.compiled_quality:
            self._score(compiled, plan.dtypes)
        for contestant in self.contestants:
            if contestant.is_peer and not bench.late():
                bench.content["methods"][contestant.name] = _peer_facts(contestant, plan)
        bench.save()
        folder = bench.path.parent
        (folder / "benchmark.md").write_text(format_report(bench.content))
        draw_quality_against_time(bench.content, folder / "fig4.png")
        return bench.content

    def _each(
        self, modes: Sequence[str], dtypes: Sequence[str]
    ) -> Iterator[tuple[Contestant, dict, Callable[[], Method]]]:
        """Contestant, its key in a row, and a function that loads it at most once."""
        for mode in modes:
            for contestant in self.contestants:
                if mode == "triton" and not contestant.facts.get("triton"):
                    continue
                for dtype in dtypes:
                    key = {"method": contestant.name, "mode": mode, "dtype": dtype}
                    yield contestant, key, cache(partial(contestant.make, mode, DTYPES[dtype]))

    def _time(self, modes: Sequence[str], sizes: Sequence[tuple[int, int]]) -> None:
        for _, key, method in self._each(modes, self.plan.dtypes):
            for size in sizes:
                self._measure("latency", key, latency, method, size, batch=1)

    def _load(self, modes: Sequence[str]) -> None:
        """Several pairs at once; for ours also a stream of frames, and several t of one pair."""
        plan = self.plan
        for contestant, key, method in self._each(modes, plan.dtypes):
            for size in plan.sizes:
                if plan.batch > 1 and size[0] * size[1] <= plan.batch_pixels:
                    self._measure("latency", key, latency, method, size, batch=plan.batch)
                if not contestant.is_peer:
                    self._measure("stream", key, streamed, method, size)
                    self._measure("three times", key, several_times, method, size)

    def _measure(
        self,
        what: str,
        key: dict,
        call: Callable[..., dict],
        method: Callable[[], Method],
        size: tuple[int, int],
        **batch: int,
    ) -> None:
        plan = self.plan
        self.bench.measure(
            {"what": what, **key, "width": size[1], "height": size[0], **batch},
            lambda: call(method(), *size, plan.device, plan.effort, **batch),
        )

    def _score(self, modes: Sequence[str], dtypes: Sequence[str]) -> None:
        if self.plan.samples:
            for _, key, method in self._each(modes, dtypes):
                call = partial(_quality, method, self.plan)
                self.bench.measure({"what": "quality", **key}, call)


def _quality(method: Callable[[], Method], plan: FramePlan) -> dict:
    return quality(method(), plan.samples, plan.device)


def _peer_facts(contestant: Contestant, plan: FramePlan) -> dict:
    """Parameters and MACs, as far as they can be determined from outside."""
    method = cast(TimedPeer, contestant.make("eager", torch.float32))
    facts: dict = {}
    try:
        macs = peer_macs(method, *plan.sizes[0], plan.device)
        facts["kmac_per_pixel"] = round(macs, 3)
    except Exception as error:  # a peer may raise anything
        print(f"Could not count the MACs of {contestant.name}: {type(error).__name__}: {error}")
    if method.module is not None:
        facts["parameters"] = count_parameters(method.module)[0]
    return facts


def describe_machine(device: torch.device) -> dict:
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "python": platform.python_version(),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def benchmark_settings(device: torch.device, commit: str | None) -> dict:
    """The settings of all measurements of a run: machine, commit, command."""
    settings = {"machine": describe_machine(device), "commit": commit, "command": sys.argv}
    return {**settings, "ZOOMIN_TRITON": os.environ.get("ZOOMIN_TRITON", "")}


def read_samples(dataset: str) -> list[dict]:
    """The triplets of a dataset whose middle frame is at t = 0.5.

    Raises:
        MissingDatasetError: the dataset is not on disk.
    """
    cfg = get_zoomin_cfg()
    cfg.DATALOADER.NUM_WORKERS = 0
    samples = [s for batch in build_interpolation_test_loader(cfg, dataset) for s in batch]
    return [s for s in samples if s["t"] == 0.5]
