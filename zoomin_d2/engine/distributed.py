"""A network in, the same network in every process out."""

import detectron2.utils.comm as comm
import torch
from detectron2.engine import create_ddp_model
from torch import nn


@torch.no_grad()
def broadcast_from_main(module: nn.Module) -> None:
    """Give all processes the main process's parameters and buffers; a single one keeps its own."""
    if comm.get_world_size() == 1:
        return
    for tensor in (*module.parameters(), *module.buffers()):
        torch.distributed.broadcast(tensor.data, src=0)


def wrap_for_ddp(module: nn.Module) -> nn.Module:
    """DistributedDataParallel around a network, on CPU or GPU; the network itself for one process.

    ``broadcast_buffers=False`` also leaves out the buffers when DDP first copies the weights. The
    vectors of spectral normalization belong to their weights: with another process's weights they
    give a norm near zero, and logits of any size. So buffers are copied here, once.

    ``device_ids=None``: the network gets its inputs unchanged. DistributedDataParallel would send
    each frame of a batch to the GPU separately and wait for it; the network sends the whole batch.
    """
    broadcast_from_main(module)
    return create_ddp_model(module, broadcast_buffers=False, device_ids=None)
