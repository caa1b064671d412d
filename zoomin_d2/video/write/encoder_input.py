"""A frame of the output in the pixel format of its encoder.

What the source has in that format stays as it is, sample by sample: whole frames, and the still
parts of made ones, which would flicker otherwise.
"""

import av

from zoomin_d2.video.read.color import ColorPath
from zoomin_d2.video.read.planes import Planes, put_samples, to_picture
from zoomin_d2.video.time.pixels import Pixels


def encoder_input(pixels: Pixels, color: ColorPath, pix_fmt: str) -> av.VideoFrame:
    """A new frame of `pix_fmt`, tagged.

    Args:
        color: of the output: the source's, but for codecs without full range.
    """

    def fits(planes: Planes) -> bool:
        return planes.pix_fmt == pix_fmt and planes.full_range == color.full_range

    if pixels.planes is not None and fits(pixels.planes):
        picture = color.tagged(to_picture(pixels.planes))
    else:
        picture = color.from_rgb(pixels.image, pix_fmt)
    if pixels.still is not None and fits(pixels.still.planes):
        put_samples(picture, pixels.still.planes, pixels.still.mask)
    return picture
