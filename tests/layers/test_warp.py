"""The definition of flow, with numbers worked by hand."""

import pytest
import torch

from tests.helpers.compiled_graphs import compiled_nodes
from zoomin_d2.layers import backward_warp, blend, crop, pad_to_multiple, resize_flow


def test_flow_points_to_the_sample():
    # A row 0 10 20 30; flow (+1, 0) takes each pixel from its right neighbour, the last from the
    # border; (+0.5, 0) takes the mean of both: eq. 3 with its "1 -" restored.
    frame = torch.tensor([0.0, 10, 20, 30]).view(1, 1, 1, 4).expand(1, 1, 3, 4)
    flow = torch.zeros(1, 2, 3, 4)
    flow[:, 0] = 1
    assert backward_warp(frame, flow)[0, 0, 1].tolist() == pytest.approx([10, 20, 30, 30])
    flow[:, 0] = 0.5
    assert backward_warp(frame, flow)[0, 0, 1].tolist() == pytest.approx([5, 15, 25, 30])
    flow[:, 0] = -9
    assert backward_warp(frame, flow)[0, 0, 1].tolist() == pytest.approx([0, 0, 0, 0])


def test_second_channel_is_y_down():
    frame = torch.tensor([1.0, 2, 3]).view(1, 1, 3, 1).expand(1, 1, 3, 5)
    flow = torch.zeros(1, 2, 3, 5)
    flow[:, 1] = 1
    assert backward_warp(frame, flow)[0, 0, :, 2].tolist() == pytest.approx([2, 3, 3])


def test_bicubic_weights_and_border():
    # Half way between two pixels Keys's kernel (a = -0.75) weighs the four around by -3/32, 19/32,
    # 19/32, -3/32. The row is repeated beyond its ends; positions beyond them are the end itself.
    row = torch.tensor([1.0, 0, 0, 1, 1])
    frame = row.view(1, 1, 1, 5).expand(1, 1, 4, 5)
    flow = torch.zeros(1, 2, 4, 5)
    flow[:, 0] = 0.5
    expected = [16 / 32, -6 / 32, 16 / 32, 35 / 32, 1]
    found = backward_warp(frame, flow, mode="bicubic")[0, 0]
    assert found[1].tolist() == pytest.approx(expected, abs=1e-5)
    assert backward_warp(frame, -9 * flow, "bicubic")[0, 0, 1, :4].tolist() == pytest.approx(
        [1] * 4, abs=1e-5
    )
    found = backward_warp(frame.mT, flow.flip(1).mT, "bicubic")[0, 0]
    assert found[:, 2].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_zero_flow_is_the_identity(mode):
    frame = torch.rand(2, 3, 7, 11)
    assert torch.allclose(backward_warp(frame, torch.zeros(2, 2, 7, 11), mode), frame, atol=1e-5)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="got 'nearest'"):
        backward_warp(torch.rand(1, 3, 4, 4), torch.zeros(1, 2, 4, 4), "nearest")


def test_flow_gradient_is_the_frames_slope():
    frame = (torch.arange(6.0) * 4).view(1, 1, 1, 6).expand(1, 1, 6, 6)
    flow = torch.full((1, 2, 6, 6), 0.3, requires_grad=True)
    backward_warp(frame, flow)[0, 0, 2, 2].backward()
    assert flow.grad[0, 0, 2, 2].item() == pytest.approx(4, rel=1e-4)
    assert flow.grad[0, 1, 2, 2].item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1)])
def test_single_row_or_column_is_warped(size):
    frame = torch.rand(1, 3, *size)
    assert torch.allclose(backward_warp(frame, torch.zeros(1, 2, *size)), frame, atol=1e-6)


def test_half_precision_keeps_positions():
    # bfloat16 has 8 bits: it cannot tell column 1000 from 1001. Positions must stay float32.
    frame = torch.zeros(1, 1, 2, 1200, dtype=torch.bfloat16)
    frame[..., 1001] = 1
    flow = torch.zeros(1, 2, 2, 1200, dtype=torch.bfloat16)
    flow[:, 0] = 1
    warped = backward_warp(frame, flow)
    assert warped.dtype == torch.bfloat16
    assert warped[0, 0, 0].float().argmax() == 1000
    assert warped[0, 0, 0].float().sum() == pytest.approx(1, abs=1e-2)


def test_mismatched_sizes_are_refused():
    with pytest.raises(ValueError, match="flow must be"):
        backward_warp(torch.rand(1, 3, 4, 4), torch.zeros(1, 2, 4, 5))


def test_blend_weighs_the_first():
    one, two = torch.full((1, 3, 2, 2), 8.0), torch.full((1, 3, 2, 2), 4.0)
    mask = torch.tensor([[1.0, 0.0], [0.5, 0.25]]).view(1, 1, 2, 2)
    assert blend(one, two, mask)[0, 0].flatten().tolist() == [8, 4, 6, 5]


def test_blend_is_exported_as_one_product(tmp_path):
    onnx = pytest.importorskip("onnx")

    class Blend(torch.nn.Module):
        def forward(self, one, two, mask):
            return blend(one, two, mask)

    frames = (torch.rand(1, 3, 2, 2), torch.rand(1, 3, 2, 2), torch.rand(1, 1, 2, 2))
    torch.onnx.export(Blend(), frames, str(tmp_path / "blend.onnx"), dynamo=False)
    found = {node.op_type for node in onnx.load(tmp_path / "blend.onnx").graph.node}
    assert {"Add", "Mul", "Sub"} <= found and "Where" not in found


def test_swapping_mirrors_warp_and_blend():
    frame_1, frame_2 = torch.rand(2, 1, 3, 8, 9)
    flow_1t, flow_2t = torch.randn(2, 1, 2, 8, 9)
    mask = torch.rand(1, 1, 8, 9)
    warped_1, warped_2 = backward_warp(frame_1, flow_1t), backward_warp(frame_2, flow_2t)
    there = blend(warped_1, warped_2, mask)
    back = blend(warped_2, warped_1, 1 - mask)
    assert torch.allclose(there, back, atol=1e-6)


def test_resized_flow_is_in_the_new_pixels():
    flow = torch.ones(1, 2, 4, 6)
    bigger = resize_flow(flow, (8, 18))
    assert bigger.shape == (1, 2, 8, 18)
    assert bigger[0, 0].unique().tolist() == pytest.approx([3])  # x: 6 -> 18
    assert bigger[0, 1].unique().tolist() == pytest.approx([2])  # y: 4 -> 8


def test_padding_replicates():
    frame = torch.arange(6.0).view(1, 1, 2, 3)
    padded = pad_to_multiple(frame, 4)
    assert padded.shape == (1, 1, 4, 4)
    assert padded[0, 0, 3].tolist() == [3, 4, 5, 5]
    assert torch.equal(padded[..., :2, :3], frame)
    assert pad_to_multiple(padded, 4) is padded


def test_compiled_crop_has_no_index():
    def padded_and_cropped(frame):
        return crop(pad_to_multiple(frame, 16), (30, 40))

    frame = torch.rand(1, 3, 30, 40)
    result, nodes = compiled_nodes(padded_and_cropped, frame)
    assert torch.equal(result, frame)
    names = [node.name for node in nodes]
    # The gradient of indexing adds values one by one.
    assert not [name for name in names if "index" in name], names
