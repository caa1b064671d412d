"""A metric of your own: a pure function, registered under the name used in TEST.METRICS.

Here: the largest difference of any value, over the frame and inside the ROIs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from zoomin_d2.evaluation.extra_metrics import EXTRA_METRICS
from zoomin_d2.evaluation.metrics import boxes_to_mask
from zoomin_d2.evaluation.results import METRICS, Metric
from zoomin_d2.frames import to_8bit


def max_error(
    pred: Tensor, truth: Tensor, boxes: Sequence[Tensor] | None = None
) -> tuple[Tensor, Tensor | None]:
    """(N, 3, H, W) frames -> (N,) in 0..255 over the frames, and (N,) inside the boxes."""
    error = (to_8bit(pred).int() - to_8bit(truth).int()).abs().amax(dim=1).float()
    if boxes is None:
        return error.amax(dim=(1, 2)), None
    masks = torch.stack([boxes_to_mask(b.to(pred.device), *error.shape[1:]) for b in boxes])
    inside = torch.where(masks, error, -1.0).amax(dim=(1, 2))
    inside[inside < 0] = torch.nan  # no ROI: undefined, left out of the mean
    return error.amax(dim=(1, 2)), inside


EXTRA_METRICS["max_error"] = max_error
for name, where in (("max_error", "the frame"), ("ROI_max_error", "the image's ROIs")):
    METRICS[name] = Metric("0..255", 1, f"largest difference in {where}", higher_is_better=False)

# TEST.METRICS "('max_error',)" now computes and prints it. In the package: the function in a file
# of zoomin_d2/evaluation/, the entries in extra_metrics.py and results.py.
