"""A network and a frame size in, the bytes that its kernels read and write out: the other floor.

Every operator of PyTorch's eager mode is one kernel (or a few) that reads its inputs from memory
and writes its output there. Eager execution cannot beat their sum divided by the memory's
bandwidth. A compiler that fuses operators can, down to the bytes that must move in any case:
weights, frames in, frame out.
"""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Traffic:
    """Bytes and kernels of one forward pass."""

    total: int  # read and written, operator by operator
    unavoidable: int  # weights, both frames and the result
    num_kernels: int  # operators other than views: about as many launches
    by_operator: dict[str, int]
    # Child module -> (bytes, kernels); "(rest)" is what runs in none of them.
    by_part: dict[str, tuple[int, int]] = field(default_factory=dict)


class _Recorder(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.bytes: Counter = Counter()
        self.num_kernels = 0
        self.part = "(rest)"
        self.parts: dict[str, tuple[int, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        inputs, outputs = _tensors((args, kwargs)), _tensors(out)
        shares = {id(x.untyped_storage()) for x in inputs}
        in_place = func._schema.is_mutable
        is_view = not in_place and any(id(x.untyped_storage()) in shares for x in outputs)
        if outputs and not is_view:
            self.num_kernels += 1
            moved = sum(map(_size, inputs)) + sum(map(_size, outputs))
            self.bytes[str(func).split(".")[1]] += moved
            total, kernels = self.parts.get(self.part, (0, 0))
            self.parts[self.part] = (total + moved, kernels + 1)
        return out

    def watch(self, module: nn.Module) -> None:
        """Record the children of a module separately; those of a list one by one."""
        for name, child in module.named_children():
            items = {name: child}
            if isinstance(child, nn.ModuleList):
                items = {f"{name}.{i}": item for i, item in enumerate(child)}
            for part, item in items.items():
                item.register_forward_pre_hook(lambda *_, part=part: setattr(self, "part", part))
                item.register_forward_hook(lambda *_: setattr(self, "part", "(rest)"))


def count_traffic(
    generator: nn.Module, height: int, width: int, dtype: torch.dtype = torch.float16
) -> Traffic:
    """Bytes of ``generator(frame_1, frame_2, t)`` on one pair, weights and frames in ``dtype``.

    Nothing is computed, as in `complexity.count_macs`. An operator counts every element of its
    inputs once, because repeated reads of a convolution come from caches.
    """
    skeleton = copy.deepcopy(generator).eval().cpu().to(dtype)
    recorder = _Recorder()
    recorder.watch(skeleton)
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        frame, t = torch.empty(1, 3, height, width, dtype=dtype), torch.empty(1)
        with recorder:
            skeleton(frame, frame, t)
        weights = sum(x.numel() * x.element_size() for x in skeleton.state_dict().values())
        unavoidable = weights + 3 * _size(frame)
    by_operator = dict(recorder.bytes.most_common())
    return Traffic(
        sum(by_operator.values()), unavoidable, recorder.num_kernels, by_operator, recorder.parts
    )


def count_triton_traffic(run: Callable[[], object]) -> list[tuple[str, int]]:
    """Name and bytes of every fused kernel that ``run()`` would launch; none is compiled or run.

    Every tensor that a kernel gets counts once and whole, even if it writes only a slice.
    """
    from zoomin_d2.layers.kernels.launch import instead_of_launching  # needs triton

    kernels = []

    def note(kernel, grid, args, options) -> None:
        tensors = {id(x): _size(x) for x in args if isinstance(x, Tensor)}
        kernels.append((kernel.__name__.strip("_"), sum(tensors.values())))

    with instead_of_launching(note):
        run()
    return kernels


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in tree_leaves(tree) if isinstance(x, Tensor)]


def _size(x: Tensor) -> int:
    return x.numel() * x.element_size()
