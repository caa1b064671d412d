"""zoomin_d2.layers.kernels.tiles: the default is the clock's choice on an H100, or close to it."""

import pytest

pytest.importorskip("triton")
from zoomin_d2.layers.kernels.tiles import Tile, candidates, strips


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
    "pixels, width, outputs, channels, chosen",
    [  # of 24 timed on an H200; None: the other kernel
        (512 * 1024, 1024, 32, 80, Tile(4, 32, 32, 8, 2, 128)),  # 2048x1024
        (512 * 1024, 1024, 16, 32, Tile(4, 16, 32, 4, 2, 64)),
        (256 * 512, 512, 64, 144, Tile(4, 64, 32, 4, 3, 64)),
        (128 * 256, 256, 96, 224, Tile(4, 64, 32, 4, 3, 64)),
        (64 * 128, 128, 128, 288, Tile(1, 128, 64, 4, 3, 64)),
        (128 * 224, 224, 32, 80, Tile(4, 32, 32, 4, 3, 64)),  # 448x256
        (128 * 224, 224, 32, 32, None),
        (128 * 224, 224, 64, 96, Tile(2, 64, 32, 4, 3, 64)),
        (64 * 112, 112, 64, 144, Tile(1, 64, 32, 4, 4, 64)),
        (64 * 112, 112, 64, 64, Tile(1, 64, 64, 4, 3, 64)),
        (32 * 56, 56, 96, 96, None),
        (16 * 28, 28, 128, 288, None),
    ],
)
def test_defaults_of_strips(pixels, width, outputs, channels, chosen):
    tiles = strips(pixels, width, outputs, channels)
    assert (tiles[0] if tiles else None) == chosen
    assert len(set(tiles)) == len(tiles)
