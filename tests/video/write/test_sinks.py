"""Images out: whole, in the depth that the file holds."""

import cv2
import numpy as np
import pytest

from zoomin_d2.frames import IMAGE_SUFFIXES
from zoomin_d2.video.write.sinks import lost_bits, write_image


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_sixteen_bits(tmp_path, suffix):
    image = np.empty((16, 24, 3), np.uint16)
    image[:] = 10000, 30000, 50000  # 38.9, 116.7, 194.6 of 255
    write_image(tmp_path / f"a{suffix}", image)
    read = cv2.imread(str(tmp_path / f"a{suffix}"), cv2.IMREAD_UNCHANGED)[8, 12, ::-1]
    if read.dtype == np.uint16:
        assert read.tolist() == [10000, 30000, 50000] and lost_bits(image, suffix) == []
    else:
        assert np.abs(read.astype(int) - [39, 117, 195]).max() <= 3  # JPEG rounds
        assert lost_bits(image, suffix) == [f"16 bits: a {suffix} holds 8"]
    assert lost_bits(image.astype(np.uint8), suffix) == []
