"""Frames, flows and masks in, one captioned picture out.

Frames are RGB tensors (3, H, W), uint8 or float in [0, 1], on any device; pictures are RGB uint8
arrays (H, W, 3), ready for `PIL.Image.fromarray`.
"""

import os
from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoomin_d2.frames import to_8bit
from zoomin_d2.visualization.flow import draw_flow_legend, draw_flows

ERROR_GAIN = 4  # differences are multiplied by this, so that 64 of 255 is the brightest color

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_GAP = 4  # pixels between tiles


def to_picture(frame: Tensor) -> np.ndarray:
    """(3, H, W) uint8 or float in [0, 1] (clamped, rounded half up) -> (H, W, 3) uint8."""
    if frame.dim() != 3 or frame.shape[0] != 3:
        raise ValueError(f"a frame must be RGB (3, H, W), got {tuple(frame.shape)}")
    return to_8bit(frame.detach()).permute(1, 2, 0).cpu().contiguous().numpy()


def draw_error(pred: Tensor, truth: Tensor, gain: float = ERROR_GAIN) -> np.ndarray:
    """|pred - truth|, the largest over RGB, times `gain`: black (equal) to yellow (inferno)."""
    error = np.abs(to_picture(pred).astype(np.float32) - to_picture(truth)).max(axis=2)
    error = np.clip(error * gain, 0, 255).astype(np.uint8)
    return cv2.applyColorMap(error, cv2.COLORMAP_INFERNO)[..., ::-1]


def tile_pictures(
    tiles: Sequence[tuple[str, np.ndarray] | None], columns: int, font_size: int | None = None
) -> np.ndarray:
    """Pictures in a grid, row by row, each below its caption; captions are cut to fit their tile.

    Args:
        tiles: (caption, picture) or None for an empty place; sizes may differ, and every column is
            as wide as the widest picture.
        columns: tiles per row.
        font_size: pixels; None adapts it to the width.
    """
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    width = max(tile[1].shape[1] for tile in tiles if tile)
    font_size = font_size or min(max(width // 28, 12), 20)
    font = ImageFont.load_default(size=font_size)
    bar = int(font_size * 1.7)
    heights = [bar + max((tile[1].shape[0] for tile in row if tile), default=0) for row in rows]
    size = (columns * (width + _GAP) - _GAP, sum(heights) + _GAP * (len(rows) - 1))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    top = 0
    for row, height in zip(rows, heights):
        for column, tile in enumerate(row):
            if tile is None:
                continue
            caption, picture = tile
            left = column * (width + _GAP)
            caption = _fit(caption, draw, font, width - 4)
            draw.text((left + 2, top + bar / 2), caption, fill="black", font=font, anchor="lm")
            sheet.paste(Image.fromarray(np.ascontiguousarray(picture)), (left, top + bar))
        top += height + _GAP
    return np.asarray(sheet)


def save_picture(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB picture; raises OSError if that fails."""
    if not cv2.imwrite(os.fspath(path), picture[..., ::-1]):
        raise OSError(f"{path} could not be written")


def stack_pictures(pictures: Sequence[np.ndarray], axis: int = 0) -> np.ndarray:
    """Pictures below each other (axis 0) or beside each other (axis 1), on white."""
    across = max(picture.shape[1 - axis] for picture in pictures)
    padded = []
    for picture in pictures:
        missing = [(0, 0), (0, 0), (0, 0)]
        missing[1 - axis] = (0, across - picture.shape[1 - axis])
        missing[axis] = (0, 0 if picture is pictures[-1] else _GAP)
        padded.append(np.pad(picture, missing, constant_values=255))
    return np.concatenate(padded, axis=axis)


def interpolation_panel(
    *,
    frame_1: Tensor,
    frame_2: Tensor,
    pred_frame: Tensor,
    frame_t: Tensor | None = None,
    coarse_frame: Tensor | None = None,
    flow_1t: Tensor | None = None,
    flow_2t: Tensor | None = None,
    blend_mask: Tensor | None = None,
    max_tile_width: int = 640,
) -> np.ndarray:
    """What went into one interpolation and what came out, three tiles in a row.

    frame_1, truth (if there is none: the average), frame_2 / coarse, prediction, error / both flows
    in one color scale, blend mask. A missing input leaves its place empty.

    Args:
        flow_1t, flow_2t: (2, H, W) pixels; both or none.
        blend_mask: (1, H, W) in [0, 1], the weight of frame_1, drawn white.
        max_tile_width: pixels; larger frames are drawn smaller.
    """
    first, second, pred = (to_picture(x) for x in (frame_1, frame_2, pred_frame))
    middle = ("average of the inputs", cv2.addWeighted(first, 0.5, second, 0.5, 0))
    error = None
    if frame_t is not None:
        middle = ("frame_t (truth)", to_picture(frame_t))
        error = (f"|pred - truth| x {ERROR_GAIN}", draw_error(pred_frame, frame_t))
    tiles: list[tuple[str, np.ndarray] | None] = [("frame_1", first), middle, ("frame_2", second)]
    coarse = None if coarse_frame is None else ("coarse_frame", to_picture(coarse_frame))
    tiles += [coarse, ("pred_frame", pred), error]
    if flow_1t is not None and flow_2t is not None:
        pictures, longest = draw_flows([flow_1t, flow_2t])
        captions = (f"flow_1t, max {longest:.1f} px", "flow_2t, same scale")
        tiles += list(zip(captions, pictures))
    elif blend_mask is not None:
        tiles += [None, None]
    if blend_mask is not None:
        tiles.append(("mask, white: frame_1", to_picture(blend_mask.expand(3, -1, -1))))
    tiles = [tile and (tile[0], _shrink(tile[1], max_tile_width)) for tile in tiles]
    if flow_1t is not None and flow_2t is not None:
        # Drawn after shrinking, or the wheel would also shrink.
        _, flow_picture = cast(tuple[str, np.ndarray], tiles[6])
        draw_flow_legend(flow_picture)
    return tile_pictures(tiles, columns=3)


def _fit(caption: str, draw: ImageDraw.ImageDraw, font: Font, width: int) -> str:
    """The caption, cut and ended with "..." if it is wider than `width` pixels."""
    if draw.textlength(caption, font=font) <= width:
        return caption
    while caption and draw.textlength(caption + "...", font=font) > width:
        caption = caption[:-1]
    return caption + "..."


def _shrink(picture: np.ndarray, width: int) -> np.ndarray:
    if picture.shape[1] <= width:
        return np.ascontiguousarray(picture)
    height = max(round(picture.shape[0] * width / picture.shape[1]), 1)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
