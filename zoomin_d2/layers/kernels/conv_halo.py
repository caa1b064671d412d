"""The 3 x 3 convolution of `FusedConv` for GPUs of the Hopper generation (cuda/conv_halo.cu).

Every pixel of the input is an operand of nine products. `_conv_kernel` fetches it nine times from
the L2 cache, which bounds it. Here a block fetches a tile of pixels, with those around it, once.
"""

import ctypes
import functools

import torch
import triton
from torch import Tensor

from zoomin_d2.layers.kernels.launch import launch
from zoomin_d2.layers.kernels.nvrtc import CudaKernel, compute_capability, on_16_bytes
from zoomin_d2.layers.kernels.tiles import HaloTile


def fits_halo(
    weight: Tensor,
    outputs: int,
    x: Tensor,
    out: Tensor,
    residual: Tensor | None,
    *,
    stride: int,
    dilation: int,
    slope: float,
) -> bool:
    """Whether `launch_halo` can be used: on a Hopper GPU, with 16-bit numbers on 16 bytes.

    Args:
        weight: (9, C, N), of which so many ``outputs`` are the convolution's.
    """
    if compute_capability(weight) // 10 != 9 or weight.element_size() != 2:
        return False
    if not (dilation <= 4 if stride == 1 else stride == 2 and dilation == 1):
        return False
    if not 0 <= slope <= 1 or (residual is not None and residual.dtype != out.dtype):
        return False
    planes = out.dtype == torch.float32
    if out.shape[3] > triton.cdiv(outputs, 8) * 8 if planes else out.shape[3] != weight.shape[2]:
        return False
    narrow = [x] if planes else [x, out, *([] if residual is None else [residual])]
    return all(y.dtype == weight.dtype and on_16_bytes(y) for y in narrow)


def packed_for_halo(weight: Tensor, outputs: int) -> Tensor:
    """(9, C, N) as the products want it, (N / outputs, 9, C / 8, outputs, 8).

    A thread gets two columns of every eight. They are dealt out so that in the end it has eight
    neighboring channels of every 32, four of 16, or two of 8, to be written at once.
    """
    taps, channels, _ = weight.shape
    columns: list[int] = []
    while (start := len(columns)) < outputs:
        count = 4 if outputs - start >= 32 else 2 if outputs - start >= 16 else 1
        columns += [
            start + quad * 2 * count + 2 * pair + i
            for pair in range(count)
            for quad in range(4)
            for i in range(2)
        ]
    blocks = weight.unflatten(2, (-1, outputs))[..., torch.tensor(columns, device=weight.device)]
    return blocks.reshape(taps, channels // 8, 8, -1, outputs).permute(3, 0, 1, 4, 2).contiguous()


def _product_of(outputs: int) -> str:
    """`multiply_64` in CUDA C++: sum (64, outputs) += a (64, 16) b (16, outputs), by four warps."""
    count = outputs // 2
    sums = ", ".join(f"%{i}" for i in range(count))
    first = ", ".join(f"%{i}" for i in range(count, count + 4))
    operands = ", ".join(f'"+f"(sum[{i}])' for i in range(count))
    return f"""
#if BFLOAT16
#define NUMBERS "bf16.bf16"
#else
#define NUMBERS "f16.f16"
#endif
__device__ __forceinline__ void multiply_64(float (&sum)[{count}], uint32_t (&a)[4], Matrix b) {{
    asm volatile("wgmma.mma_async.sync.aligned.m64n{outputs}k16.f32." NUMBERS
                 " {{{sums}}}, {{{first}}}, %{count + 4}, 1, 1, 1, 0;"
                 : {operands} : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.descriptor));
}}
"""


@functools.cache
def _kernel(
    tile: HaloTile,
    stride: int,
    dilation: int,
    added: bool,
    out_dtype: torch.dtype,
    dtype: torch.dtype,
) -> CudaKernel:
    return CudaKernel(
        "conv_halo",
        {"multiply_64.cuh": _product_of(tile.outputs)},
        OUTPUTS=tile.outputs,
        STEP=tile.channels,
        STRIDE=stride,
        DILATION=dilation,
        ROWS=tile.rows,
        GROUPS=tile.groups,
        STAGES=tile.stages,
        BLOCKS=tile.blocks,
        RESIDENT=int(tile.resident),
        ADDED=int(added),
        PLANES=int(out_dtype == torch.float32),
        BFLOAT16=int(dtype == torch.bfloat16),
    )


def launch_halo(
    x: Tensor,
    packed: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    out: Tensor,
    *,
    stride: int,
    dilation: int,
    slope: float,
    tile: HaloTile,
) -> None:
    """`FusedConv` with side 3, not shuffled; the tensors and ``slope`` as there.

    Args:
        packed: by `packed_for_halo`.
        out, residual: of the weight's dtype with dense channels, or both float32 in any layout.
    """
    n, in_height, in_width, channels = x.shape
    _, height, width, num_out = out.shape
    added = out if residual is None else residual
    kernel = _kernel(tile, stride, dilation, residual is not None, out.dtype, x.dtype)
    tiles = n * triton.cdiv(height, tile.rows * tile.groups) * triton.cdiv(width, 64)
    blocks_at_once = _multiprocessors(x) * tile.blocks
    launch(
        kernel,
        (min(tiles, max(blocks_at_once // packed.shape[0], 1)), packed.shape[0]),
        packed,
        x,
        bias,
        added,
        out,
        n,
        in_height,
        in_width,
        height,
        width,
        channels,
        x.stride(2),
        num_out,
        ctypes.c_longlong(added.stride(0)),
        *added.stride()[1:],
        ctypes.c_longlong(out.stride(0)),
        *out.stride()[1:],
        float(slope),
        threads=128 * tile.groups,
        shared=tile.shared(channels, stride, dilation),
    )


def _multiprocessors(x: Tensor) -> int:
    if not x.is_cuda:  # only compiled
        return 132
    return torch.cuda.get_device_properties(x.device).multi_processor_count
