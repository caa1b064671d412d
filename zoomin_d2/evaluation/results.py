"""Per-image numbers in; their means, a Markdown table and a json file out.

This is the one place that defines what each number means (METRICS), and how its mean over images
treats identical frames (PSNR = inf) and images where it is undefined (nan).
"""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

from zoomin_d2.files import write_json

logger = logging.getLogger(__name__)

PSNR_CAP = 100.0  # dB


class Metric(NamedTuple):
    """How a number is printed and what it means."""

    unit: str
    decimals: int
    meaning: str
    higher_is_better: bool = True
    ideal: float | None = None  # the best value; both above and below are worse


METRICS = {
    "PSNR": Metric("dB", 2, "mean of the images' PSNR of 8-bit rounded RGB, each at most 100 dB"),
    "SSIM": Metric("", 4, "3-D Gaussian over the RGB volume (ssim_matlab of CAIN, RIFE, IFRNet)"),
    "IE": Metric(
        "0..255", 3, "root mean squared difference over all RGB values, mean over images", False
    ),
    "MAE": Metric("0..255", 3, "mean absolute difference (what RIFE and IFRNet call IE)", False),
    "SSIM_rgb": Metric("", 4, "11 x 11 Gaussian per color channel, no padding (Wang et al. 2004)"),
    "PSNR_masked": Metric(
        "dB", 2, "PSNR where the mask is set, by DVF's formula; empty and infinite images skipped"
    ),
    "PSNR_unmasked": Metric("dB", 2, "the same where the mask is not set"),
    "ROI_PSNR": Metric(
        "dB", 2, "PSNR of the pixels inside the image's ROIs (union), each at most 100 dB"
    ),
    "ROI_IE": Metric("0..255", 3, "IE of the pixels inside the image's ROIs (union)", False),
    "sharpness": Metric(
        "", 3, "mean gradient magnitude (luma), prediction / truth; 1 is as sharp", ideal=1.0
    ),
    "ROI_sharpness": Metric("", 3, "the same inside the image's ROIs (union)", ideal=1.0),
    "LPIPS": Metric("", 4, "LPIPS 0.1, AlexNet, of 8-bit RGB; lower is more alike", False),
    "ROI_LPIPS": Metric("", 4, "mean of the LPIPS map inside the image's ROIs (union)", False),
}

_CAPPED = {"PSNR", "ROI_PSNR"}
_INFINITE_SKIPPED = {"PSNR_masked", "PSNR_unmasked"}


def mean_over_images(
    images: Sequence[Mapping[str, float | str]],
) -> tuple[dict[str, float], dict[str, int]]:
    """The mean of each metric over the images where it is defined.

    A frame identical to the truth has PSNR = inf. It counts as PSNR_CAP: one perfect image must not
    make the mean infinite, and leaving it out would make a better method score lower. Only the
    masked numbers leave such images out, because DVF's script does. nan (no ROI in the image, an
    empty mask) is always left out.

    Args:
        images: per image, metric name -> value; other keys are ignored, metrics may be absent.

    Returns:
        (means, counts): metric name -> mean, and -> number of images in it. A metric that is
        defined in no image is in neither.
    """
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    for image in images:
        for name in METRICS.keys() & image.keys():
            value = float(image[name])
            if math.isnan(value) or (name in _INFINITE_SKIPPED and math.isinf(value)):
                continue
            values[name].append(min(value, PSNR_CAP) if name in _CAPPED else value)
    values = {name: v for name, v in values.items() if v}
    means = {name: math.fsum(v) / len(v) for name, v in values.items()}
    return means, {name: len(v) for name, v in values.items()}


def summarize(images: Sequence[Mapping[str, float | str]]) -> dict:
    """The contents of every results file: means, their conventions and per-image numbers.

    The log reports empty masks, and ROIs that are in no image.

    Args:
        images: per image `file_name` and metric name -> value.
    """
    means, counts = mean_over_images(images)
    empty = [x["file_name"] for x in images if math.isnan(float(x.get("PSNR_masked", 0)))]
    if empty:
        logger.warning(
            "The masks of %d of %d images are empty, so PSNR_masked leaves them out; the first is "
            "the mask of %s",
            len(empty),
            len(images),
            empty[0],
        )
    if any("ROI_PSNR" in x for x in images) and "ROI_PSNR" not in counts:
        logger.warning("None of the %d images has a ROI, so there are no ROI numbers", len(images))
    return {
        "num_images": len(images),
        "results": means,
        "images_counted": counts,
        "conventions": {name: METRICS[name].meaning for name in means},
        "images": list(images),
    }


def format_results_table(
    rows: Mapping[str, Mapping[str, float]], first_column: str = "dataset"
) -> str:
    """A Markdown table with one row per dataset or method, followed by what each column means.

    Args:
        rows: row name -> {metric name -> mean}; a metric that a row lacks is printed as "-".
        first_column: heading of the row names.
    """
    names = [name for name in METRICS if any(name in means for means in rows.values())]
    heads = [f"{n} ({METRICS[n].unit})" if METRICS[n].unit else n for n in names]
    cells = [
        [row] + [f"{means[n]:.{METRICS[n].decimals}f}" if n in means else "-" for n in names]
        for row, means in rows.items()
    ]
    # Numbers are already formatted; by default tabulate would drop their trailing zeros.
    table = tabulate(
        cells,
        headers=[first_column, *heads],
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *("right" for _ in names)),
    )
    return "\n".join([table, "", *(f"- {name}: {METRICS[name].meaning}" for name in names)])


def write_results(path: str | os.PathLike, content: dict) -> None:
    """Write standard json atomically, with its folder.

    inf is written as the string "inf" and nan as null, at any depth, because json has neither.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_json(path, _json_value(content))


def _json_value(value):
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value
