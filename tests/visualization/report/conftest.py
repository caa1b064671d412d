"""Evaluations of three methods on two triplets, saved as the evaluator saves them."""

import pytest
import torch
from detectron2.structures import Boxes, Instances

from zoomin_d2.evaluation import InterpolationEvaluator

HEIGHT, WIDTH = 96, 128
BOXES = [[8.0, 8.0, 40.0, 40.0], [60.0, 20.0, 120.0, 90.0]]
# Method -> how much too bright it is, of 255; in the first box, and elsewhere.
METHODS = {"fast": (2, 4), "slow": (8, 4), "still": (20, 20)}


def evaluate(folder, inside: int, elsewhere: int, maps: bool, dataset: str = "toy_dev") -> None:
    random = torch.Generator().manual_seed(0)
    evaluator = InterpolationEvaluator(dataset, folder, num_saved=2)
    for k in range(3):
        truth = torch.randint(30, 200, (3, HEIGHT, WIDTH), dtype=torch.uint8, generator=random)
        sample = {"file_name": f"clip/{k}", "frame_1": truth - 9, "frame_t": truth}
        sample["frame_2"] = truth + 9
        pred = (truth + elsewhere).float() / 255
        pred[:, 8:40, 8:40] = (truth[:, 8:40, 8:40] + inside).float() / 255
        output = {"pred_frame": pred}
        if maps:
            output["flow_1t"] = torch.full((2, HEIGHT, WIDTH), 3.0)
            output["flow_2t"] = torch.full((2, HEIGHT, WIDTH), -3.0)
            output["blend_mask"] = torch.full((1, HEIGHT, WIDTH), 0.5)
            output["proposals"] = Instances((HEIGHT, WIDTH))
            output["proposals"].proposal_boxes = Boxes(torch.tensor(BOXES))
        evaluator.process([sample], [output])
    evaluator.evaluate()


@pytest.fixture(scope="session")
def save_evaluation():
    """The function (folder, inside, elsewhere, maps) that saves one evaluation."""
    return evaluate


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A folder with <method>/inference/toy_dev/results.json for three methods."""
    root = tmp_path_factory.mktemp("results")
    for method, (inside, elsewhere) in METHODS.items():
        evaluate(root / method / "inference/toy_dev", inside, elsewhere, maps=method != "still")
    return root
