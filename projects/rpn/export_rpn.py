#!/usr/bin/env python3
"""A checkpoint of train_rpn.py -> the file that ships: backbone and RPN, half precision.

    projects/rpn/export_rpn.py output/rpn_R_18_FPN/model_final.pth --output rpn_R_18_FPN.safetensors

Names stay Detectron2's (`backbone.*`, `proposal_generator.*`). Convolution weights become float16;
vectors (biases, norms) stay float32, because rounding them would cost more than it saves.
"""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from zoomin_d2.cli.tool_arguments import ToolParser

PREFIXES = ("backbone.", "proposal_generator.")


def select_weights(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The backbone's and proposal generator's tensors as they ship.

    Raises:
        ValueError: there are none, so the file is not a detector's checkpoint.
    """
    selected = {}
    for name, tensor in state_dict.items():
        # num_batches_tracked: BatchNorm has it, but the FrozenBatchNorm that ships does not.
        if name.startswith(PREFIXES) and not name.endswith("num_batches_tracked"):
            dtype = torch.float16 if tensor.dim() > 1 else torch.float32
            selected[name] = tensor.detach().to("cpu", dtype).contiguous()
    if not selected:
        raise ValueError(f"not a detector: no parameter starts with {' or '.join(PREFIXES)}")
    return selected


def main() -> None:
    parser = ToolParser(__doc__)
    parser.add_argument("checkpoint", help=".pth of projects/rpn/train_rpn.py")
    parser.add_argument("--output", required=True, metavar="FILE", help=".safetensors to write")
    args = parser.parse_args()

    checkpoint = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    weights = select_weights(checkpoint["model"])
    save_file(weights, args.output)
    data = Path(args.output).read_bytes()
    print(f"{args.output}: {len(weights)} tensors, {len(data) / 1e6:.1f} MB")
    print(f"sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
