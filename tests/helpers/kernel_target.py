"""Compile the kernels for an H100 or H200 where there is none; see what they take.

Run as a script: the real networks' kernels at a small and a large size, on two threads.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.inference.fused.fast import FastTriton
from zoomin_d2.layers.kernels import launch as triton_launch
from zoomin_d2.layers.kernels.warp_blend import warp_blend
from zoomin_d2.model_zoo.generator_file import load_generator
from zoomin_d2.modeling import build_generator

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


class Hopper:
    """All that Triton asks a driver for when it only compiles."""

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device=0):
        return 0


def describe(compiled) -> dict:
    """Name, registers, bytes of stack (spills) and kinds of instructions of a compiled kernel.

    Args:
        compiled: by Triton, or the bytes that a `CudaKernel` gives.
    """
    binary = compiled if isinstance(compiled, bytes) else compiled.asm["cubin"]
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        command = [TOOLS / "cuobjdump", "--dump-resource-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        command = [TOOLS / "nvdisasm", "--no-dataflow", file.name]
        code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        matrix_products = bool(re.search(r"\bH?G?MMA\.", code))
    name = re.search(r"Function (\w+):", usage).group(1)
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", usage).groups()
    described = {"name": name, "registers": int(registers), "stack": int(stack)}
    if isinstance(compiled, bytes):
        return described | {"tensor_core": matrix_products}
    ptx = compiled.asm["ptx"]
    return described | {
        "tensor_core": bool(re.search(r"wgmma\.mma_async|mma\.sync", ptx)),
        "wide_access": bool(re.search(r"cp\.async\.cg|cp\.async\.bulk|global\.v4|v4\.b32", ptx)),
        "byte_loads": len(re.findall(r"ld\.global\S*\.b8 ", ptx)),
        "narrow_stores": len(re.findall(r"st\.global\.b(?:8|16) ", ptx)),
    }


def _fine() -> torch.nn.Module:
    cfg = get_zoomin_cfg()
    cfg.merge_from_file(str(Path(__file__).parents[2] / "configs/fine/baseline.yaml"))
    cfg.MODEL.GENERATOR.FAST.DETAIL = 1.0
    return build_generator(cfg)


def compile_for_hopper(tune: bool, sizes: list[tuple[int, int]]) -> list[dict]:
    """Every kernel in float16 for 8-bit frames, once.

    Those of `fast` at these sizes, those of `fine` with detail at the last one, and `paper`'s.
    """
    triton.runtime.driver.set_active(Hopper())
    fast = FastTriton(load_generator("fast").generator.half().eval(), tune=tune)
    fine = FastTriton(_fine().half().eval(), tune=tune)
    kernels = {}

    def run():
        for fused, size in [*((fast, size) for size in sizes), (fine, sizes[-1])]:
            frame = torch.zeros(1, 3, *size, dtype=torch.uint8)
            fused(frame, frame, [torch.full((1,), 0.5)])
        features = torch.zeros(2, *frame.shape[2:], 64, dtype=torch.half)
        out = torch.zeros(1, *frame.shape[2:], 72, dtype=torch.half)
        motion = torch.zeros(1, 5, 1, 1)
        warp_blend(frame, frame, features, motion, torch.full((1,), 0.5), out)

    triton_launch.compile_ahead(run, num_threads=2)
    with triton_launch.compile_only(lambda x: kernels.setdefault(getattr(x, "hash", x), x)):
        run()  # all are there now
    return [describe(x) for x in kernels.values()]


if __name__ == "__main__":
    print(json.dumps(compile_for_hopper("tune" in sys.argv, [(256, 448), (1088, 1920)])))
