"""A small `fast` beside the small `paper` of tests/conftest.py."""

import pytest

from zoomin_d2 import get_zoomin_cfg


@pytest.fixture
def tiny_cfg():
    cfg = get_zoomin_cfg()
    cfg.MODEL.GENERATOR.NAME = "fast"
    cfg.MODEL.GENERATOR.FAST.PYRAMID_CHANNELS = [8, 12, 16, 16]
    cfg.MODEL.GENERATOR.FAST.DECODER_CHANNELS = [8, 16, 16, 16]
    cfg.MODEL.GENERATOR.FAST.DECODER_BLOCKS = [1, 1, 1, 1]
    cfg.MODEL.GENERATOR.FAST.CORRELATION_RADII = [0, 0, 1, 2]
    cfg.MODEL.GENERATOR.FAST.SYNTHESIS_CHANNELS = [8, 16]
    return cfg
