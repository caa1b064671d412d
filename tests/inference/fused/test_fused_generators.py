"""zoomin_d2.inference.fused: the frames of the networks' forward, fused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.generators.grow_weights import grow_weights
from zoomin_d2.inference.engine import InferenceEngine
from zoomin_d2.model_zoo.generator_file import load_generator
from zoomin_d2.modeling import build_generator

pytest.importorskip("triton")


def _fine():
    """Grown from `fast`, and refining its motion somehow."""
    cfg = get_zoomin_cfg()
    cfg.merge_from_file(str(Path(__file__).parents[3] / "configs/fine/baseline.yaml"))
    torch.manual_seed(0)
    generator = build_generator(cfg)
    grow_weights(load_generator("fast").generator, generator)
    torch.nn.init.normal_(generator.refine.head.weight, std=0.01)
    return generator.eval()


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["fast", "fine", "paper"])
def test_equal_to_the_definition(name):
    environment = {**os.environ}
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    result = subprocess.run(
        [sys.executable, Path(__file__).parents[2] / "helpers" / "fused_cases.py", name],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == "equal", result.stderr[-3000:]


@pytest.mark.needs_gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "name, triton", [("fast", True), ("fast", "tune"), ("fine", True), ("paper", True)]
)
def test_real_weights_on_a_gpu(dtype, name, triton):
    cuda = torch.device("cuda")
    random = torch.Generator().manual_seed(0)
    small = torch.rand(1, 3, 20, 30, generator=random)
    frame_1 = torch.nn.functional.interpolate(small, size=(270, 475), mode="bicubic").clamp(0, 1)
    frames = [(x * 255).to(cuda, torch.uint8) for x in (frame_1, frame_1.roll((2, 5), (2, 3)))]
    load = _fine if name == "fine" else lambda: load_generator(name).generator
    exact = InferenceEngine(load(), cuda, torch.float32)
    expected = exact(*frames, [0.5, 0.3])
    engine = InferenceEngine(load(), cuda, dtype, triton=triton)
    for _ in range(3):  # plain, recorded, replayed
        for a, b in zip(engine(*frames, [0.5, 0.3]), expected):
            difference = (a.int() - b.int()).abs().float()
            assert difference.mean() < (0.1 if dtype == torch.float16 else 0.6)
            assert difference.max() <= (8 if dtype == torch.float16 else 40)
    if name != "paper":
        made = engine(*frames, [0.5, 0.3])
        for _ in range(3):
            again, length = engine.with_motion(*frames, [0.5, 0.3])
            assert all(torch.equal(x.frame, y) for x, y in zip(again, made)) and 1 < length < 20
