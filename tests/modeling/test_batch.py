"""zoomin_d2.modeling.batch: one batch tensor, without a copy where there is one already."""

import pytest
import torch

from zoomin_d2.data.batching import stack_samples
from zoomin_d2.modeling.batch import Batch, stack_frames

CPU = torch.device("cpu")


@pytest.fixture
def samples():
    frames = torch.rand(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    return Batch(*stack_samples([{"frame_1": x} for x in frames]))


def _rows(samples):
    return torch.stack([x["frame_1"].clone() for x in samples])


def test_batch_in_one_piece_stays_so(samples):
    batch = stack_frames(samples, "frame_1", CPU)
    assert batch.data_ptr() == samples[0]["frame_1"].data_ptr()
    assert torch.equal(batch, _rows(samples))


def test_a_replaced_frame_is_not_overlooked(samples):
    samples[2]["frame_1"] = torch.zeros(3, 5, 6)
    assert torch.equal(stack_frames(samples, "frame_1", CPU), _rows(samples))
    assert _rows(samples)[2].max() == 0


@pytest.mark.parametrize(
    "change", [lambda x: x.pop(), lambda x: x.append(x[0]), lambda x: x.reverse()]
)
def test_a_changed_list_is_not_overlooked(samples, change):
    change(samples)
    assert torch.equal(stack_frames(samples, "frame_1", CPU), _rows(samples))


def test_a_key_of_some_samples_has_no_whole():
    one, two = torch.zeros(3, 2, 2), torch.zeros(3, 4, 4)
    batch = Batch(*stack_samples([{"x": one, "y": one}, {"x": one, "y": two}, {"x": one}]))
    assert batch.whole("x").shape == (3, 3, 2, 2)
    assert batch.whole("y") is None and batch.whole("z") is None
    assert batch[1]["y"].shape == (3, 4, 4) and "y" not in batch[2]


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (0, 1, 2), (0, 0, 1, 1), (3, 2, 1, 0)])
def test_rows_in_another_order(samples, order):
    chosen = [samples[i] for i in order]
    assert torch.equal(stack_frames(chosen, "frame_1", CPU), _rows(chosen))


def test_other_views_are_looked_at(samples):
    views = [{"frame_1": x["frame_1"].transpose(0, 1)[:3]} for x in samples]
    views = [{"frame_1": x["frame_1"][:, :, :5]} for x in views]
    assert torch.equal(stack_frames(views, "frame_1", CPU), _rows(views))


def test_transposed_square_is_no_row():
    whole = torch.rand(2, 3, 4, 4)
    turned = [{"frame_1": x.transpose(1, 2)} for x in whole]
    assert torch.equal(stack_frames(turned, "frame_1", CPU), whole.transpose(2, 3))


def test_bytes_become_floats_from_0_to_1():
    whole = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    batch = stack_frames([{"frame_1": whole[0]}], "frame_1", CPU)
    assert torch.allclose(batch.flatten(), torch.tensor([0, 0.2, 1]))
