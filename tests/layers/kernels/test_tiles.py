"""zoomin_d2.layers.kernels.tiles: the default is the clock's choice on a GPU, or close to it."""

import pytest

pytest.importorskip("triton")
from zoomin_d2.layers.kernels.tiles import HaloTile, Tile, candidates, halo_candidates


@pytest.mark.parametrize(
    "pixels, outputs, channels, chosen",
    [  # of `fast`, by ZOOMIN_TRITON=tune
        (2 * 128 * 224, 32, 32, Tile(4, 32, 32, 4, 3)),  # 448x256
        (2 * 32 * 56, 64, 64, Tile(4, 32, 64, 4, 3)),
        (128 * 224, 32, 80, Tile(8, 32, 64, 4, 3)),
        (64 * 112, 64, 112, Tile(4, 64, 64, 4, 4)),
        (16 * 28, 128, 288, Tile(4, 32, 128, 4, 3)),
        (16 * 28, 16, 128, Tile(1, 16, 128, 2, 4)),
        (2 * 512 * 1024, 32, 32, Tile(8, 32, 32, 4, 3)),  # 2048x1024
        (512 * 1024, 32, 80, Tile(16, 32, 64, 8, 3)),
        (512 * 1024, 16, 32, Tile(4, 16, 32, 4, 3)),
        (256 * 512, 64, 128, Tile(8, 64, 64, 4, 3)),
        (64 * 128, 128, 288, Tile(4, 64, 64, 4, 4)),
        (2 * 135 * 240, 96, 96, Tile(8, 128, 64, 8, 3)),  # 3840x2160
    ],
)
def test_defaults(pixels, outputs, channels, chosen):
    tiles = candidates(pixels, outputs, channels)
    assert tiles[0] == chosen
    assert len(set(tiles)) == len(tiles)


@pytest.mark.parametrize(
    "rows, width, outputs, channels, stride, added, chosen",
    [  # of up to 42 timed on an H200; None: the other kernel
        (512, 1024, 32, 80, 1, False, HaloTile(32, 16, 4, 1, 3, 2)),  # 2048x1024
        (512, 1024, 32, 64, 1, False, HaloTile(32, 32, 4, 2, 3, 1)),
        (512, 1024, 32, 32, 1, False, HaloTile(32, 32, 2, 1, 2, 4)),
        (512, 1024, 32, 32, 1, True, HaloTile(32, 32, 2, 1, 2, 3)),
        (512, 1024, 5, 32, 1, True, HaloTile(8, 32, 2, 1, 2, 4)),
        (2 * 256, 512, 48, 32, 2, False, HaloTile(48, 32, 1, 2, 2, 2)),
        (2 * 256, 512, 48, 48, 1, False, HaloTile(48, 16, 4, 1, 3, 2)),
        (2 * 128, 256, 64, 48, 2, False, HaloTile(64, 16, 1, 2, 2, 2)),
        (256, 512, 64, 144, 1, False, HaloTile(64, 16, 2, 2, 3, 1)),
        (128, 256, 96, 224, 1, False, HaloTile(96, 16, 2, 2, 3, 1, resident=False)),
        (128, 256, 96, 96, 1, True, HaloTile(96, 16, 2, 2, 3, 1)),
        (64, 128, 128, 288, 1, False, HaloTile(64, 32, 2, 1, 2, 2, resident=False)),
        (2 * 64, 128, 96, 64, 2, False, None),
        (128, 224, 32, 80, 1, False, HaloTile(32, 16, 2, 2, 3, 1)),  # 448x256
        (128, 224, 32, 64, 1, False, HaloTile(32, 64, 2, 2, 3, 1)),
        (2 * 128, 224, 32, 32, 1, False, HaloTile(32, 32, 2, 2, 2, 2)),
        (128, 224, 64, 96, 1, False, HaloTile(64, 32, 2, 1, 2, 2, resident=False)),
        (64, 112, 64, 64, 1, False, HaloTile(32, 64, 1, 2, 2, 2)),
        (32, 56, 96, 96, 1, True, HaloTile(48, 16, 1, 1, 3, 3, resident=False)),
        (32, 56, 96, 224, 1, False, None),
        (16, 28, 128, 288, 1, False, None),
        (8 * 544, 960, 5, 32, 1, True, HaloTile(8, 32, 4, 1, 2, 3)),  # eight pairs of 1920x1080
        (8 * 68, 120, 128, 128, 1, True, HaloTile(64, 32, 2, 2, 3, 1)),
    ],
)
def test_defaults_with_a_halo(rows, width, outputs, channels, stride, added, chosen):
    tiles = halo_candidates(rows, width, outputs, channels, stride, 1, added)
    assert (tiles[0] if tiles else None) == chosen
    assert len(set(tiles)) == len(tiles)


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("dilation", [1, 2, 3, 4])
@pytest.mark.parametrize("rows", [100, 540])
def test_dilated_ones_of_few_channels(rows, dilation, added):
    for channels in (16, 32):
        assert halo_candidates(rows, 960, channels, channels, 1, dilation, added)


def test_every_tile_fits_a_multiprocessor():
    for outputs, channels, stride, dilation in ((5, 32, 1, 1), (64, 144, 1, 2), (96, 224, 2, 1)):
        for tile in halo_candidates(1024, 1024, outputs, channels, stride, dilation):
            assert (tile.shared(channels, stride, dilation) + 1024) * tile.blocks <= 227 * 1024
            assert channels % tile.channels == 0 and tile.outputs % 8 == 0
