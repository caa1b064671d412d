"""Planes to RGB and back: hand-worked colors, and the same as swscale's within a level."""

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Colorspace

from zoomin_d2.layers.yuv import MATRICES, Planes, YUVFormat, planes_to_rgb, rgb_to_planes
from zoomin_d2.video.read.color import ColorPath, ColorTags

SWS = {
    "bt709": Colorspace.ITU709,
    "bt601": Colorspace.ITU601,
    "fcc": Colorspace.FCC,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020": Colorspace.BT2020,
}
KINDS = [YUVFormat(m, full, bits) for m in MATRICES for full in (False, True) for bits in (8, 10)]
WIDTH, HEIGHT = 48, 32


def _picture(seed: int) -> np.ndarray:
    """(H, W, 3) in [0, 1]: noise of several scales, so that edges of all kinds occur."""
    rng = np.random.default_rng(seed)
    total = np.zeros((HEIGHT, WIDTH, 3))
    for scale in (1, 4, 16):
        noise = rng.random((HEIGHT // scale + 1, WIDTH // scale + 1, 3))
        total += np.kron(noise, np.ones((scale, scale, 1)))[:HEIGHT, :WIDTH]
    return total / 3


def _path(kind: YUVFormat) -> ColorPath:
    return ColorPath(
        ColorTags(full_range=kind.full_range), SWS[kind.matrix], kind.full_range, kind.bits > 8
    )


def _pix_fmt(kind: YUVFormat) -> str:
    return "yuv420p" if kind.bits == 8 else "yuv420p10le"


def _planes(frame: av.VideoFrame, kind: YUVFormat) -> Planes:
    dtype = np.uint8 if kind.bits == 8 else np.uint16
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]
        planes.append(torch.from_numpy(rows.astype(np.int32))[None, None])
    return Planes(*planes)


def _through_swscale(kind: YUVFormat) -> tuple[np.ndarray, Planes, np.ndarray, Planes]:
    """A picture, its planes, RGB from those, and planes again."""
    largest, dtype = (65535, np.uint16) if kind.bits > 8 else (255, np.uint8)
    picture = (_picture(0) * largest).round().astype(dtype)
    frame = _path(kind).from_rgb(picture, _pix_fmt(kind))
    back = _path(kind).to_rgb(frame)
    return (
        picture,
        _planes(frame, kind),
        back,
        _planes(_path(kind).from_rgb(back, _pix_fmt(kind)), kind),
    )


def _distance(ours: Planes, theirs: Planes) -> int:
    return max(int((a.to(torch.int32) - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("kind", [k for k in KINDS if k.bits == 8], ids=str)
def test_as_swscale_within_a_level(kind):
    picture, planes, back, _ = _through_swscale(kind)
    rgb = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]
    ours = rgb_to_planes(rgb, kind)
    assert _distance(ours, planes) <= 1
    mine = (planes_to_rgb(planes, kind)[0].permute(1, 2, 0) * 255).round().numpy()
    assert np.abs(mine - back).max() <= 1


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_round_trip_as_swscale(kind):
    _, planes, _, again = _through_swscale(kind)
    ours = rgb_to_planes(planes_to_rgb(planes, kind), kind)
    # swscale itself moves deep luma of full range by up to two levels.
    moved = int((again.y - planes.y).abs().max())
    assert _distance(ours, again) <= 1 + moved


def test_white_black_and_red():
    kind = YUVFormat("bt601", full_range=False)
    colors = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0]]).view(3, 3, 1, 1).expand(3, 3, 4, 4)
    planes = rgb_to_planes(colors, kind)
    assert planes.y[:, 0, 0, 0].tolist() == [235, 16, 81]
    assert planes.u[:, 0, 0, 0].tolist() == [128, 128, 90]
    assert planes.v[:, 0, 0, 0].tolist() == [128, 128, 240]
    assert torch.allclose(planes_to_rgb(planes, kind), colors, atol=0.01)


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="even"):
        rgb_to_planes(torch.rand(1, 3, 5, 4), YUVFormat("bt709", False))
    y, c = torch.zeros(1, 1, 4, 6), torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match="chroma 2x2"):
        planes_to_rgb(Planes(y, c, c), YUVFormat("bt709", False))


def test_weights_reach_a_device_once(monkeypatch):
    """A copy of numbers waits for all that the device computes."""
    kind, rgb = YUVFormat("bt709", full_range=False), torch.rand(1, 3, 6, 4)
    before = rgb_to_planes(rgb, kind)
    planes_to_rgb(before, kind)
    monkeypatch.setattr(torch, "tensor", None)
    after = rgb_to_planes(rgb, kind)
    assert all(map(torch.equal, before, after))
    assert planes_to_rgb(after, kind).shape == rgb.shape


def test_channels_last_is_made_contiguous(monkeypatch):
    """cuDNN takes channels-last, and rounds to TF32 (10 bits) by default."""
    formats, conv2d = [], torch.nn.functional.conv2d

    def record(x, weight, **options):
        formats.append(x.is_contiguous(memory_format=torch.channels_last))
        return conv2d(x, weight, **options)

    monkeypatch.setattr(torch.nn.functional, "conv2d", record)
    rgb = torch.rand(1, 3, 8, 12).contiguous(memory_format=torch.channels_last)
    kind = YUVFormat("bt709", full_range=False)
    planes_to_rgb(rgb_to_planes(rgb, kind), kind)
    assert formats == [False] * 6
