"""InterpolationEvaluator: batched_inputs and model outputs in, one table of numbers out.

Conventions of the numbers: `results.METRICS`. Frames and boxes: as `metrics.py` says.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import Tensor

from zoomin_d2.evaluation import metrics
from zoomin_d2.evaluation.extra_metrics import score_extra, usable_extra_metrics
from zoomin_d2.evaluation.results import format_results_table, summarize, write_results
from zoomin_d2.evaluation.saved_frames import SampledFrames
from zoomin_d2.evaluation.saved_images import ExtremeImages
from zoomin_d2.inference.baselines import average

logger = logging.getLogger(__name__)


class InterpolationEvaluator(DatasetEvaluator):
    """Scores predicted frames against the true ones, each image of the dataset exactly once.

    Masked numbers come where the inputs have a `mask`, ROI numbers where the outputs have
    `proposals`.

    Args:
        dataset_name: names the results.
        output_dir: usually OUTPUT_DIR/inference/<dataset_name>; gets results.json and images/.
            None writes nothing.
        num_saved_images: how many of the worst and how many of the best images (by PSNR) are
            saved as panels; each process saves those that it predicted itself.
        num_saved_frames: of how many images, the same for every method, frames and maps are saved
            in frames/ for the report page (`saved_frames.py`).
        extra_metrics: names in `extra_metrics.EXTRA_METRICS`, computed beside the others.
        provenance: where the numbers come from (what the model was trained on, git commit,
            command, ...); kept in results.json as it is.
        distributed: gather the images of all processes; False scores this process alone.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | os.PathLike | None = None,
        *,
        num_saved_images: int = 0,
        num_saved_frames: int = 0,
        extra_metrics: Sequence[str] = (),
        provenance: Mapping | None = None,
        distributed: bool = True,
    ):
        for key, num in (("images", num_saved_images), ("frames", num_saved_frames)):
            if num < 0:
                raise ValueError(f"num_saved_{key} must not be negative, got {num}")
        self._dataset_name = dataset_name
        self._directory = Path(output_dir) if output_dir else None
        self._num_saved_images = num_saved_images if output_dir else 0
        self._num_saved_frames = num_saved_frames if output_dir else 0
        self._extra_metrics = usable_extra_metrics(extra_metrics)
        self._provenance = dict(provenance or {})
        self._distributed = distributed
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._images: list[dict] = []
        self._extremes = ExtremeImages(self._num_saved_images)
        self._sampled = SampledFrames(self._num_saved_frames)

    def process(self, inputs: Sequence[dict], outputs: Sequence[dict]) -> None:
        """Score one batch.

        Args:
            inputs: with `file_name`, `frame_t` (3, H, W), and where there: `mask` (H, W) bool, and
                `frame_1`, `frame_2`, `t` (only drawn in the saved panels).
            outputs: with `pred_frame` (3, H, W), and where there: `proposals` (Instances).

        Raises:
            FloatingPointError: a prediction holds nan or inf.
            ValueError: the truth is missing, truth or prediction is no frame, or prediction, mask
                and truth differ in size.
        """
        if len(inputs) != len(outputs):
            raise ValueError(f"{len(outputs)} outputs were given for {len(inputs)} inputs")
        for sample, output in zip(inputs, outputs):
            self._process_one(sample, output)

    def evaluate(self) -> dict | None:
        """Gather, average, log the table, write results.json and the saved images.

        Returns:
            On the main process {"interpolation": {metric name: mean}}, None on the others.

        Raises:
            ValueError: no image was scored, or one was scored twice.
        """
        images = self._gather()
        if not images:
            raise ValueError(
                f"no image of '{self._dataset_name}' was scored: the data loader gave none"
            )
        saved_images = self._save_images(images)
        saved_frames = self._save_frames(images)
        if self._distributed and not comm.is_main_process():
            return None

        summary = summarize(images)
        table = format_results_table({self._dataset_name: summary["results"]})
        logger.info("%d images of %s:\n%s", len(images), self._dataset_name, table)
        if self._directory:
            path = self._directory / "results.json"
            content = {
                "dataset": self._dataset_name,
                "provenance": self._provenance,
                "saved_images": saved_images,
                "saved_frames": saved_frames,
                **summary,
            }
            write_results(path, content)
            logger.info("Per-image numbers saved to %s", path)
        return {"interpolation": summary["results"]}

    def _gather(self) -> list[dict]:
        """The scores of the images of all processes, sorted by name.

        To every process, not to the main one alone: each saves its own share of the extremes.
        """
        shares = comm.all_gather(self._images) if self._distributed else [self._images]
        images = sorted(chain(*shares), key=lambda image: image["file_name"])
        for image, following in pairwise(images):
            if image["file_name"] == following["file_name"]:
                raise ValueError(
                    f"'{image['file_name']}' was scored twice: every record of a dataset needs a "
                    "file_name of its own, and the sampler must give each once (InferenceSampler)"
                )
        return images

    def _save_images(self, images: list[dict]) -> dict[str, list[str]]:
        """Returns the names of the worst and the best images, the most extreme first."""
        num = self._num_saved_images
        # Sorted by name already, so that equal PSNR is ordered by name, as in ExtremeImages.
        names = [image["file_name"] for image in sorted(images, key=lambda image: image["PSNR"])]
        worst, best = names[:num], names[num:][::-1][:num]
        if num and self._directory:
            self._extremes.save(self._directory / "images", worst, best)
        return {"worst": worst, "best": best}

    def _save_frames(self, images: list[dict]) -> dict[str, str]:
        """Returns name -> folder beside results.json, of the images chosen for the report."""
        if self._directory is None:
            return {}
        names = [image["file_name"] for image in images]
        folders = self._sampled.save(self._directory / "frames", names)
        return {name: f"frames/{folder}" for name, folder in folders.items()}

    def _process_one(self, sample: dict, output: dict) -> None:
        name = sample["file_name"]
        if "frame_t" not in sample:
            raise ValueError(
                f"'{name}' has no true frame: evaluation needs `frame_t` in the inputs, also "
                "from the test-time mapper"
            )
        pred = output["pred_frame"].detach()
        truth = sample["frame_t"]
        num_bad = pred.numel() - int(torch.isfinite(pred).sum())
        if num_bad:
            raise FloatingPointError(
                f"{num_bad} of {pred.numel()} values predicted for '{name}' are nan or inf: the "
                "training has diverged or half precision has overflowed"
            )
        mask, proposals = sample.get("mask"), output.get("proposals")
        boxes = None if proposals is None else proposals.proposal_boxes.tensor
        try:
            scores = metrics.score_image(pred, truth, mask, boxes)
            scores |= score_extra(self._extra_metrics, pred, truth, boxes)
        except (TypeError, ValueError) as error:
            raise type(error)(f"'{name}' cannot be scored: {error}") from error
        self._images.append({"file_name": name, **scores})
        self._sampled.offer(sample, output)
        if self._num_saved_images:
            frames = {"truth": truth, "pred": pred}
            if "frame_1" in sample and "frame_2" in sample:
                frames["average"] = _average_of_inputs(sample)
            frames = {key: metrics.to_8bit(frame).cpu() for key, frame in frames.items()}
            self._extremes.offer(scores["PSNR"], name, frames)


def _average_of_inputs(sample: dict) -> Tensor:
    frame_1, frame_2 = (sample[key][None] for key in ("frame_1", "frame_2"))
    if not frame_1.is_floating_point():
        frame_1, frame_2 = frame_1 / metrics.PEAK, frame_2 / metrics.PEAK
    t = torch.tensor([float(sample.get("t", 0.5))], device=frame_1.device)
    return average(frame_1, frame_2, t)[0]
