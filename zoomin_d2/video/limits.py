"""How large a frame may be: a header may promise any size, and memory is taken before reading."""

import io
import warnings

import numpy as np
from PIL import Image

MAX_FRAME_PIXELS = 2**27  # 16384 x 8192


def why_too_large(width: int, height: int) -> str | None:
    """What is wrong with frames of this size in pixels, or None if they are read."""
    if width * height <= MAX_FRAME_PIXELS:
        return None
    return f"has frames of {width}x{height} pixels; more than {MAX_FRAME_PIXELS} are not read"


def why_image_too_large(data: np.ndarray) -> str | None:
    """The same of an encoded image, (N,) uint8, by its header.

    What Pillow does not know OpenCV may (16-bit colour TIFF); it has a limit of its own, 2^30.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data.data)) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        return str(error)
    except Exception:
        return None
    return why_too_large(width, height)
