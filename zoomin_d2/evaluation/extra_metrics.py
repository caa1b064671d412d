"""Numbers that are computed only when TEST.METRICS names them.

"sharpness" adds sharpness and ROI_sharpness; "LPIPS" adds LPIPS and ROI_LPIPS.
"""

import logging
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from zoomin_d2.evaluation.lpips import MissingLPIPSWeightsError, find_lpips_weights, shared_lpips
from zoomin_d2.evaluation.results import METRICS
from zoomin_d2.evaluation.sharpness import sharpness

logger = logging.getLogger(__name__)

# (pred, truth (N, 3, H, W), boxes or None) -> (N,) over frames, (N,) inside boxes or None
PairedMetric = Callable[[Tensor, Tensor, Sequence[Tensor] | None], tuple[Tensor, Tensor | None]]


def _lpips(pred: Tensor, truth: Tensor, boxes: Sequence[Tensor] | None):
    return shared_lpips(pred.device)(pred, truth, boxes)


EXTRA_METRICS: dict[str, PairedMetric] = {"sharpness": sharpness, "LPIPS": _lpips}


def usable_extra_metrics(names: Iterable[str]) -> list[str]:
    """The names whose metrics can be computed here; a warning reports each that cannot.

    Raises:
        ValueError: there is no metric by such a name.
    """
    usable = []
    for name in names:
        if name not in EXTRA_METRICS:
            raise ValueError(
                f"TEST.METRICS names the unknown metric '{name}'; it can add to the usual ones: "
                f"{', '.join(EXTRA_METRICS)}"
            )
        try:
            if name == "LPIPS":
                find_lpips_weights()
        except MissingLPIPSWeightsError as error:
            logger.warning("Skipping LPIPS: %s", error)
        else:
            usable.append(name)
    return usable


def score_extra(
    names: Sequence[str], pred: Tensor, truth: Tensor, boxes: Tensor | None = None
) -> dict[str, float]:
    """The named numbers of one image.

    Args:
        names: from `usable_extra_metrics`.
        pred, truth: (3, H, W).
        boxes: (R, 4) XYXY in absolute pixels; adds "ROI_" + name.

    Raises:
        ValueError: a number has no entry in METRICS: tables would leave it out.
    """
    scores = {}
    for name in names:
        whole, inside = EXTRA_METRICS[name](
            pred[None], truth[None].to(pred.device), None if boxes is None else [boxes]
        )
        scores[name] = float(whole)
        if inside is not None:
            scores[f"ROI_{name}"] = float(inside)
    for name in scores:
        if name not in METRICS:
            raise ValueError(
                f"the number '{name}' has no entry in zoomin_d2.evaluation.results.METRICS, which "
                "gives its unit and meaning: add one"
            )
    return scores
