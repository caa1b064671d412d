"""A network and a frame size in, its parameters and multiply-accumulates (MACs) out.

Convention: one MAC is one multiplication with its addition. Convolutions of any kind, matrix
products (also through `einsum` and attention), bilinear sampling (`grid_sample`) and resizing at 4
MACs per output value (its four taps), bicubic at 16, are counted. Biases, activations and other
arithmetic per value, padding and copies are not counted: they cost bytes, not arithmetic. A
correlation volume counts if it is written as a matrix product or an `einsum`; ours, in
`count_macs`, as arithmetic per value. Numbers that others print for RIFE, IFRNet and AMT cover only
convolutions (and matrix products): `MACs.by_operation` separates them. Work on padding counts; MACs
per pixel are per pixel of the output frame.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

_aten = torch.ops.aten
# Names under which aten operators are reported; any other operator that torch can count is "other".
_KINDS = {
    "convolution": ("convolution", "_convolution", "cudnn_convolution", "convolution_overrideable"),
    "matmul": ("mm", "addmm", "bmm", "baddbmm", "_scaled_mm"),
    "sampling": ("grid_sampler_2d",),
    "resizing": ("upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa"),
}


@dataclass(frozen=True)
class MACs:
    """Multiply-accumulates of one forward pass over one pair of frames."""

    height: int
    width: int
    by_operation: dict[str, int]  # "convolution", "matmul", "sampling", "resizing", "other"
    by_part: dict[str, int] = field(default_factory=dict)  # child module -> MACs, "(rest)" = others

    @property
    def total(self) -> int:
        """MACs of all operations that are counted."""
        return sum(self.by_operation.values())

    @property
    def kilo_per_pixel(self) -> float:
        """kMAC per pixel of the frame."""
        return self.total / (self.height * self.width) / 1e3


def count_macs(generator: nn.Module, height: int, width: int) -> MACs:
    """MACs of ``generator(frame_1, frame_2, t)`` on one pair of frames.

    Nothing is computed: a copy runs on tensors without values, so 8K costs neither time nor memory.
    The generator is counted in eval mode and left unchanged.

    Args:
        generator: any entry of GENERATORS; its forward must not read values back (`.item()`),
            because there are none.
        height, width: of the frames in pixels, any size.
    """
    skeleton = copy.deepcopy(generator).eval().cpu()
    # Fake tensors know their device; on the meta device backward_warp's autocast would fail.
    with FakeTensorMode(allow_non_fake_inputs=True):
        frame, t = torch.empty(1, 3, height, width), torch.empty(1)

        # With gradients, because a CPU otherwise computes four times the products that the cost
        # volume needs.
        @torch.enable_grad()
        def call() -> None:
            skeleton(frame, frame, t)

        return count_macs_of_call(call, height, width, skeleton)


def count_macs_of_call(
    call: Callable[[], object], height: int, width: int, module: nn.Module | None = None
) -> MACs:
    """MACs of whatever ``call()`` runs through PyTorch, for methods with another signature.

    Args:
        call: runs one interpolation.
        height, width: of the frame that it makes, for `MACs.kilo_per_pixel`.
        module: the module whose children fill `MACs.by_part`.
    """
    counter = FlopCounterMode(display=False, depth=1, custom_mapping=_SAMPLING)
    with torch.no_grad(), counter:
        call()
    counts = counter.get_flop_counts()
    by_operation = dict.fromkeys(_KINDS, 0)
    kind_of = {operator: kind for kind, names in _KINDS.items() for operator in names}
    for operator, flops in counts.get("Global", {}).items():
        kind = kind_of.get(str(operator).split(".")[-1], "other")
        # torch counts two operations per MAC.
        by_operation[kind] = by_operation.get(kind, 0) + flops // 2
    by_part = {}
    if module is not None:
        for name, child in module.named_children():
            # A list of modules is not called itself; its items are.
            names = [name]
            if isinstance(child, nn.ModuleList):
                names = [f"{name}.{i}" for i in range(len(child))]
            for part in names:
                flops = counts.get(f"{type(module).__name__}.{part}", {})
                by_part[part] = sum(flops.values()) // 2
        by_part["(rest)"] = sum(by_operation.values()) - sum(by_part.values())
    return MACs(height, width, by_operation, by_part)


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """(learned, frozen): values of the parameters, and of the buffers that are stored with them.

    In our generators, the context convolution and its mean are frozen.
    """
    learnt = sum(p.numel() for p in module.parameters())
    stored = module.state_dict(keep_vars=True).values()
    return learnt, sum(x.numel() for x in stored if not isinstance(x, nn.Parameter))


def _flops_per_value(macs: int) -> Callable:
    def count(*args, out_val: torch.Tensor, **kwargs) -> int:
        return 2 * macs * out_val.numel()

    count._get_raw = True  # torch then passes tensors, not their shapes
    return count


def _flops_of_sampling(frame, grid, mode: int, *args, out_val: torch.Tensor, **kwargs) -> int:
    macs = {0: 4, 1: 0, 2: 16}[mode]  # bilinear, nearest, bicubic
    return 2 * macs * out_val.numel()


_flops_of_sampling._get_raw = True
_SAMPLING = {
    _aten.grid_sampler_2d: _flops_of_sampling,
    _aten.upsample_bilinear2d: _flops_per_value(4),
    _aten._upsample_bilinear2d_aa: _flops_per_value(4),
    _aten.upsample_bicubic2d: _flops_per_value(16),
}
