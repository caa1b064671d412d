"""A frame of the output in the pixel format of its encoder.

What the source has in that format stays as it is, sample by sample: whole frames, and the still
parts of made ones, which would flicker otherwise.
"""

import av

from zoomin_d2.video.read.color import ColorPath
from zoomin_d2.video.read.planes import put_samples, to_picture
from zoomin_d2.video.time.pixels import Pixels


def encoder_input(pixels: Pixels, color: ColorPath, pix_fmt: str) -> av.VideoFrame:
    """A new frame of `pix_fmt`, tagged.

    Args:
        color: of the source, which the output keeps.
    """
    if pixels.planes is not None and pixels.planes.pix_fmt == pix_fmt:
        picture = color.tagged(to_picture(pixels.planes))
    else:
        picture = color.from_rgb(pixels.image, pix_fmt)
    if pixels.still is not None and pixels.still.planes.pix_fmt == pix_fmt:
        put_samples(picture, pixels.still.planes, pixels.still.mask)
    return picture
