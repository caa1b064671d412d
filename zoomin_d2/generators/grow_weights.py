"""A trained `fast` and a wider or deeper one in; the larger one computes what the trained one did.

Channels keep their order within each part of a convolution's input; new ones come at the end of the
part. Old outputs do not read new channels yet: those weights are zero, and have a gradient. New
outputs start as in any new network. Parts that only the new network has (linear blocks, refinement
at full size, a coarser level) end in a convolution of zeros.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from zoomin_d2.generators.fast import FastGenerator
from zoomin_d2.generators.motion_decoder import MotionDecoder

# New weights of the last warp start here: mostly bilinear, as the old network was.
MIX_AT_START = 0.25


@torch.no_grad()
def grow_weights(old: FastGenerator, new: FastGenerator) -> None:
    """Make a new, larger network start as the old one; its new parts keep their initial values.

    If LAST_WARP changes from "bilinear" to "mixed", the frames differ by `MIX_AT_START` of what
    bicubic sampling changes; everything else is equal up to rounding.

    Raises:
        ValueError: the new network lacks part of the old one, or widens the features that a cost
            volume compares, which would change all its values.
    """
    owners = dict(new.named_modules())
    had = dict(old.named_modules())
    for level, (a, b) in enumerate(zip(old.decoders, new.decoders)):
        _check_level(a, b, f"1/{2 ** (level + 1)}")
        for block in b.blocks[len(a.blocks) :]:
            _zero(block.last)
    for decoder in new.decoders[len(old.decoders) :]:
        _zero(decoder.head)
    if new.refine is not None and old.refine is None:
        _zero(new.refine.head)
    if new.last_warp == "mixed" and old.last_warp == "bilinear":
        new.synthesis.head.bias[16:] = torch.logit(torch.tensor(MIX_AT_START))
    state = new.state_dict()
    for key, value in old.state_dict().items():
        if key not in state:
            raise ValueError(f"the new network has no '{key}', which the old one has")
        conv, _, kind = key.rpartition(".")
        target = state[key]
        if len(value) > len(target):
            raise ValueError(
                f"'{key}' has {len(value)} outputs, but the new network only has {len(target)}"
            )
        if kind == "weight":
            target[: len(value)] = _spread(value, _parts(had, conv), _parts(owners, conv), key)
        else:
            target[: len(value)] = value


def _zero(conv: nn.Conv2d) -> None:
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)


def _check_level(old: MotionDecoder, new: MotionDecoder, level: str) -> None:
    if old.radius and (old.radius, old.enter_parts[0]) != (new.radius, new.enter_parts[0]):
        raise ValueError(
            f"the features and the radius of the cost volume at {level} cannot grow: leave "
            "PYRAMID_CHANNELS and CORRELATION_RADII there unchanged"
        )
    slopes = [block.slope for block in old.blocks]
    linear = [1.0] * (len(new.blocks) - len(slopes))
    if [block.slope for block in new.blocks] != slopes + linear:
        raise ValueError(
            f"DECODER_BLOCKS at {level} cannot change: leave it unchanged and add LINEAR_BLOCKS"
        )


def _parts(modules: dict[str, nn.Module], conv: str) -> Sequence[int]:
    """The numbers of input channels of a convolution, by origin."""
    owner, _, index = conv.rpartition(".")  # "decoders.0.enter", "0"
    parent, _, attribute = owner.rpartition(".")
    if index == "0" and hasattr(modules.get(parent), f"{attribute}_parts"):
        return getattr(modules[parent], f"{attribute}_parts")
    return (modules[conv].in_channels,)


def _spread(weight: Tensor, old: Sequence[int], new: Sequence[int], key: str) -> Tensor:
    """(O, sum(old), k, k) -> (O, sum(new), k, k), zero for the channels that are new."""
    if any(a > b for a, b in zip(old, new, strict=True)):
        raise ValueError(f"'{key}' reads {old} channels, but the new network only reads {new}")
    wide = weight.new_zeros(len(weight), sum(new), *weight.shape[2:])
    starts = zip(accumulate(old, initial=0), accumulate(new, initial=0))
    for (a, b), size in zip(starts, old):
        wide[:, b : b + size] = weight[:, a : a + size]
    return wide
