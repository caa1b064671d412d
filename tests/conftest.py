"""Shared fixtures: a small model on a randomly initialised detector, batches of known content."""

import logging
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.utils.logger import setup_logger

from zoomin_d2 import get_zoomin_cfg

pytest_plugins = [
    "tests.helpers.browser",
    "tests.helpers.tiny_configs",
    "tests.helpers.generators",
    "tests.helpers.videos",
    "tests.helpers.broken_clocks",
    "tests.helpers.dataset_trees",
    "tests.helpers.streams",
]
torch.set_num_threads(1)  # the suite runs on two cores, often beside other work


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Report at the very end, and loudly, what did not run."""
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[-1]).removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.items():
        terminalreporter.write_line(f"LEFT OUT: {count} tests: {reason}", red=True, bold=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture(autouse=True)
def no_closed_log() -> Iterator[None]:
    """A logger that a test sets up keeps the stream of its capsys, which is closed after the test;
    the next test's messages would become a traceback."""
    yield
    for name in ("zoomin_d2", "detectron2", "fvcore"):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if getattr(getattr(handler, "stream", None), "closed", False):
                logger.removeHandler(handler)
                setup_logger.cache_clear()


@pytest.fixture
def small_cfg() -> CfgNode:
    """The paper's model with few channels, on the CPU, on the detector config that ships."""
    cfg = get_zoomin_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.GENERATOR.PAPER.FLOW_CHANNELS = [8, 8, 8]
    cfg.MODEL.GENERATOR.PAPER.SYNTHESIS_CHANNELS = 4
    cfg.MODEL.GENERATOR.PAPER.SYNTHESIS_KERNEL = 3
    cfg.MODEL.FROZEN_RPN.WEIGHTS = ""
    cfg.MODEL.PROPOSALS.NUM = 4
    cfg.MODEL.DISCRIMINATOR.CHANNELS = 4
    cfg.SEED = 1
    return cfg


@pytest.fixture
def make_batch():
    """A function (n, height, width, hr_scale=None) -> batched_inputs of random frames."""

    def make(n: int, height: int, width: int, hr_scale: int | None = None) -> list[dict]:
        generator = torch.Generator().manual_seed(0)

        def frame(scale: int = 1) -> torch.Tensor:
            size = (3, height * scale, width * scale)
            return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)

        batch = [
            {
                **{k: frame() for k in ("frame_1", "frame_t", "frame_2")},
                "t": 0.5,
                "file_name": f"random/{i}",
                "height": height,
                "width": width,
            }
            for i in range(n)
        ]
        if hr_scale:
            for sample in batch:
                sample.update(frame_t_hr=frame(hr_scale), hr_scale=hr_scale)
        return batch

    return make
