"""The ICC color profile of an image, which outputs do not carry."""

import io
from pathlib import Path

from PIL import Image, ImageCms, TiffImagePlugin

_TIFF_TAG = 34675


def color_profile(path: Path) -> str | None:
    """The name of an image's profile; None: it has none, or that of sRGB, which is the default."""
    try:
        data = _profile(path)
        if not data:
            return None
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(data))).strip()
    except Exception:  # whatever is wrong with it, it is not kept
        name = "unknown"
    return None if "srgb" in name.lower() else name


def _profile(path: Path) -> bytes | None:
    if path.suffix.lower() not in (".tif", ".tiff"):
        with Image.open(path) as image:
            return image.info.get("icc_profile")
    with path.open("rb") as file:  # Pillow opens no color TIFFs of 16 bits, but reads their tags
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        return tags.get(_TIFF_TAG)
