"""A moving layer in, painted over frames at any times: its texture, its shape, its place.

Every pixel is computed from its own position, with the same few operations.
"""

import functools
import math
from typing import NamedTuple

import cv2
import numpy as np
import torch

_CHARACTERS = "ABCDEFGHIKLMNOPRSTUWYZabcdefghiklmnoprstuwyz0123456789"  # and 10 spaces: 64
_CELL = (24, 16)  # (rows, columns) of pixels of a character
CUT_TO_BARS, CUT_TO_TEXT = 1.0, 2.0  # what a layer is cut into

Planes = list[torch.Tensor]  # red, green, blue


class Layer(NamedTuple):
    """One layer of N triplets; (N,) float32 tensors, lengths in pixels, colors from 0 to 255.

    A layer's own coordinates are pixels from its center, at time 0.5.
    """

    opacity: torch.Tensor  # 0 where a triplet has no such layer
    # Motion from frame_1 to frame_2, around the center at time 0.5.
    center_x: torch.Tensor
    center_y: torch.Tensor
    motion_x: torch.Tensor
    motion_y: torch.Tensor
    spin: torch.Tensor  # radians
    growth: torch.Tensor  # change of the logarithm of the scale
    # Shape.
    turn: torch.Tensor  # radians, of shape and pattern
    radius: torch.Tensor
    aspect: torch.Tensor
    corners: torch.Tensor  # of the polygon, waves around the blob
    ripple: torch.Tensor  # depth of these waves, as a part of the radius; negative: a polygon
    wall: torch.Tensor  # half the thickness of a ring; negative: filled
    softness: torch.Tensor  # width of the edge
    cut: torch.Tensor  # 0, CUT_TO_BARS or CUT_TO_TEXT
    # Texture.
    still: torch.Tensor  # index of the still
    still_x: torch.Tensor  # pixel of the still at the layer's center
    still_y: torch.Tensor
    zoom: torch.Tensor  # pixels of the still per pixel
    pattern_share: torch.Tensor  # 0: only the still, 1: only the pattern
    stripes: torch.Tensor  # shares of the patterns: one is 1, the others 0
    checkers: torch.Tensor
    grid: torch.Tensor
    text: torch.Tensor
    period_x: torch.Tensor
    period_y: torch.Tensor
    duty: torch.Tensor  # light part of a period
    letter_zoom: torch.Tensor  # pixels of a character's cell per pixel
    letter_seed: torch.Tensor
    dark_red: torch.Tensor
    dark_green: torch.Tensor
    dark_blue: torch.Tensor
    light_red: torch.Tensor
    light_green: torch.Tensor
    light_blue: torch.Tensor


def paint_layer(
    canvas: Planes | None,
    pixels: torch.Tensor,
    glyphs: torch.Tensor,
    layer: Layer,
    times: torch.Tensor,
) -> Planes:
    """The canvas with a layer over it.

    Args:
        canvas: red, green and blue, (N, T, H, W) float, 0 to 255; None = the layer is the
            background and covers everything.
        pixels: of the stills, see `pack_pixels`.
        glyphs: see `glyph_cells`.
        layer: one layer of each of the N triplets.
        times: (N, T), the times of the frames; 0 is frame_1, 1 is frame_2.
    """
    height, width = pixels.shape[1:]
    of = Layer(*(x[:, None, None, None] for x in layer))
    elapsed = times[:, :, None, None] - 0.5
    # From a pixel to the layer's own coordinates.
    x = torch.arange(width, device=times.device) - (of.center_x + of.motion_x * elapsed)
    y = torch.arange(height, device=times.device)[:, None]
    y = y - (of.center_y + of.motion_y * elapsed)
    x, y = _turned(x, y, of.spin * elapsed)
    scale = torch.exp(-of.growth * elapsed)
    x, y = x * scale, y * scale

    color = _sample(pixels, of.still, x * of.zoom + of.still_x, y * of.zoom + of.still_y)
    x, y = _turned(x, y, of.turn)
    letters = _letters(glyphs, x * of.letter_zoom, y * of.letter_zoom, of.letter_seed)
    bars, rows = _stripes(x, of.period_x, of.duty), _stripes(y, of.period_y, of.duty)
    pattern = (
        of.stripes * bars
        + of.checkers * (bars + rows - 2 * bars * rows)
        + of.grid * (bars * rows)
        + of.text * letters
    )
    dark = (of.dark_red, of.dark_green, of.dark_blue)
    light = (of.light_red, of.light_green, of.light_blue)
    color = [
        plane + of.pattern_share * (low + (high - low) * pattern - plane)
        for plane, low, high in zip(color, dark, light, strict=True)
    ]
    if canvas is None:
        return color
    cut = torch.where(of.cut == CUT_TO_BARS, bars, torch.where(of.cut == CUT_TO_TEXT, letters, 1.0))
    alpha = of.opacity * _coverage(x, y, of) * cut
    return [below + alpha * (plane - below) for below, plane in zip(canvas, color, strict=True)]


def _turned(
    x: torch.Tensor, y: torch.Tensor, angle: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Coordinates in axes that are turned by an angle, from x towards y."""
    cos, sin = angle.cos(), angle.sin()
    return cos * x + sin * y, cos * y - sin * x


def pack_pixels(stills: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) uint8 as (B, H, W) int32: one access instead of three, the costly part."""
    red, green, blue = stills.int().unbind(1)
    return red | green << 8 | blue << 16


def _sample(pixels: torch.Tensor, still: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> Planes:
    """The stills at x, y: cubic (Catmull-Rom), mirrored beyond their borders; not clamped."""
    height, width = pixels.shape[1:]
    values = pixels.reshape(-1)
    first = still.int() * (height * width)
    columns = _cubic_taps(x, width)
    result = [torch.zeros((), device=x.device)] * 3
    for row, row_weight in _cubic_taps(y, height):
        for column, weight in columns:
            value = values[first + row * width + column]
            weight = row_weight * weight
            planes = (value & 255, value >> 8 & 255, value >> 16)
            result = [mean + weight * plane for mean, plane in zip(result, planes, strict=True)]
    return result


def _cubic_taps(place: torch.Tensor, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Four (index, weight) along one side."""
    first = place.floor()
    f = place - first
    weights = (
        ((1 - 0.5 * f) * f - 0.5) * f,
        (1.5 * f - 2.5) * f * f + 1,
        ((2 - 1.5 * f) * f + 0.5) * f,
        (0.5 * f - 0.5) * f * f,
    )
    taps = []
    for i, weight in enumerate(weights):
        index = first.int() + (i - 1)
        index = torch.maximum(index, -1 - index)  # mirrored at both borders, once
        index = torch.minimum(index, 2 * size - 1 - index).clamp(0, size - 1)
        taps.append((index, weight))
    return taps


def _stripes(x: torch.Tensor, period: torch.Tensor, duty: torch.Tensor) -> torch.Tensor:
    """1 in a part ``duty`` of every period, 0 in the rest, anti-aliased."""
    offset = (x - period * (x / period).floor() - period / 2).abs()
    return (period * duty / 2 - offset + 0.5).clamp(0, 1)


def _letters(
    glyphs: torch.Tensor, x: torch.Tensor, y: torch.Tensor, seed: torch.Tensor
) -> torch.Tensor:
    """An endless page of random words: 1 where there is ink, anti-aliased."""
    rows, columns = glyphs.shape[1:]
    column, row = (x / columns).floor(), (y / rows).floor()
    which = column.int() * 73856093 + row.int() * 19349663 + seed.int()  # wraps around
    which = ((which ^ (which >> 11)) & 0xFFFF) * 24503
    which = (which ^ (which >> 9)) & (len(glyphs) - 1)
    x = (x - column * columns - 0.5).clamp(0, columns - 1)
    y = (y - row * rows - 0.5).clamp(0, rows - 1)
    left, top = x.int().clamp(max=columns - 2), y.int().clamp(max=rows - 2)
    fx, fy = x - left, y - top
    values, first = glyphs.reshape(-1), (which * rows + top) * columns + left
    upper = values[first] * (1 - fx) + values[first + 1] * fx
    lower = values[first + columns] * (1 - fx) + values[first + columns + 1] * fx
    return (upper * (1 - fy) + lower * fy) / 255


def _coverage(x: torch.Tensor, y: torch.Tensor, of: Layer) -> torch.Tensor:
    """How much of a pixel the layer's shape covers: a polygon or a blob, filled or a ring."""
    x, y = x / of.aspect, y * of.aspect
    distance = torch.sqrt(x * x + y * y + 1e-6)
    angle = torch.atan2(y, x)
    sector = 2 * math.pi / of.corners
    from_middle = angle - sector * (angle / sector).floor() - sector / 2
    blob = distance / (1 + of.ripple * torch.sin(of.corners * angle))
    inside = of.radius - torch.where(of.ripple < 0, distance * from_middle.cos(), blob)
    # Stretching made lengths across the edge longer or shorter.
    stretch = torch.sqrt((x / of.aspect) ** 2 + (y * of.aspect) ** 2 + 1e-6) / distance
    inside = inside / stretch
    inside = torch.where(of.wall > 0, of.wall - (inside - of.wall).abs(), inside)
    return (inside / of.softness + 0.5).clamp(0, 1)


@functools.cache
def glyph_cells(device: torch.device) -> torch.Tensor:
    """Pictures of characters and of spaces between words, (64, rows, columns) uint8, 255 = ink."""
    cells = []
    for character in _CHARACTERS:
        cell = np.zeros(_CELL, np.uint8)
        place = (2, _CELL[0] - 7)
        cv2.putText(cell, character, place, cv2.FONT_HERSHEY_DUPLEX, 0.55, 255, 1, cv2.LINE_AA)
        cells.append(cell)
    spaces = [np.zeros(_CELL, np.uint8)] * (64 - len(cells))
    return torch.from_numpy(np.stack(cells + spaces)).to(device)
