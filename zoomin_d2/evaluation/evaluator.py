"""InterpolationEvaluator: batched_inputs and model outputs in, one table of numbers out.

Conventions of the numbers: see `results.METRICS`. Frames and boxes: see `metrics.py`.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from zoomin_d2.evaluation import metrics
from zoomin_d2.evaluation.extra_metrics import score_extra, usable_extra_metrics
from zoomin_d2.evaluation.results import format_results_table, summarize, write_results
from zoomin_d2.evaluation.saved_images import SavedImages

logger = logging.getLogger(__name__)


class InterpolationEvaluator(DatasetEvaluator):
    """Scores predicted frames against the true ones, each image of the dataset exactly once.

    Masked numbers are given if the inputs have a `mask`, ROI numbers if the outputs have
    `proposals`.

    Args:
        dataset_name: name of the results.
        output_dir: usually OUTPUT_DIR/inference/<dataset_name>; gets results.json and images/.
            None writes nothing.
        num_saved: number of images, the same ones for every method, whose frames and maps are saved
            in frames/ for the report page. A third as many, rounded up, of the worst and of the
            best images (by PSNR) are saved as panels in images/. Each process saves its own
            predictions.
        extra_metrics: names in `extra_metrics.EXTRA_METRICS`, computed beside the others.
        provenance: where the numbers come from (the training data, git commit, command, ...); kept
            unchanged in results.json.
        distributed: gather the images of all processes; False scores only this process's.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | os.PathLike | None = None,
        *,
        num_saved: int = 0,
        extra_metrics: Sequence[str] = (),
        provenance: Mapping | None = None,
        distributed: bool = True,
    ):
        self._dataset_name = dataset_name
        self._directory = Path(output_dir) if output_dir else None
        self._num_saved = num_saved
        self._extra_metrics = usable_extra_metrics(extra_metrics)
        self.provenance = dict(provenance or {})
        self._distributed = distributed
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._images: list[dict] = []
        self._saved = SavedImages(self._num_saved)

    def process(self, inputs: Sequence[dict], outputs: Sequence[dict]) -> None:
        """Score one batch.

        Args:
            inputs: with `file_name`, `frame_t` (3, H, W), and optionally `mask` (H, W) bool and
                `frame_1`, `frame_2`, `t` (only drawn in the saved panels).
            outputs: with `pred_frame` (3, H, W), and optionally `proposals` (Instances).

        Raises:
            FloatingPointError: a prediction holds nan or inf.
            ValueError: the truth is missing, truth or prediction is not a frame, or prediction,
                mask and truth differ in size.
        """
        if len(inputs) != len(outputs):
            raise ValueError(f"got {len(outputs)} outputs for {len(inputs)} inputs")
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
                f"no image of '{self._dataset_name}' was scored: the data loader was empty"
            )
        saved = self._saved.save(self._directory, images) if self._directory else {}
        if self._distributed and not comm.is_main_process():
            return None

        summary = summarize(images)
        table = format_results_table({self._dataset_name: summary["results"]})
        logger.info("%d images of %s:\n%s", len(images), self._dataset_name, table)
        if self._directory:
            path = self._directory / "results.json"
            content = {
                "dataset": self._dataset_name,
                "provenance": self.provenance,
                **saved,
                **summary,
            }
            write_results(path, content)
            logger.info("Per-image numbers saved to %s", path)
        return {"interpolation": summary["results"]}

    def _gather(self) -> list[dict]:
        """The scores of the images of all processes, sorted by name.

        Every process gets them, not only the main one: each saves its own share of the extremes.
        """
        shares = comm.all_gather(self._images) if self._distributed else [self._images]
        images = sorted(chain(*shares), key=lambda image: image["file_name"])
        for image, following in pairwise(images):
            if image["file_name"] == following["file_name"]:
                raise ValueError(
                    f"'{image['file_name']}' was scored twice: every record of a dataset needs a "
                    "unique file_name, and the sampler must yield each once (InferenceSampler)"
                )
        return images

    def _process_one(self, sample: dict, output: dict) -> None:
        name = sample["file_name"]
        if "frame_t" not in sample:
            raise ValueError(
                f"'{name}' has no true frame: the test-time mapper must put `frame_t` into the "
                "inputs"
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
        if self._directory:
            self._saved.offer(sample, output, scores["PSNR"])
