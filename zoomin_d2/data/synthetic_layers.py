"""Stills and random numbers in, layered triplets out whose middle frame is exactly true.

A triplet is a background and up to NUM_LAYERS - 1 layers in front of it. Each has a texture (a
still, stripes, a grid, text), a shape, and a motion of its own: translation, rotation and log scale
are linear in time. All frames are drawn by the same code, so that frame_t is as sharp as the
others.

Every pixel is computed from its own place: no tensor's shape depends on data, nothing waits for
the device, and `torch.compile` makes few kernels of a layer. Layers are painted one after the
other by one compiled function, which keeps compiling short and memory small.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import torch

NUM_LAYERS = 8  # at most, the background included
# Some to spare. (A multiple of 4: then each layer's draws are aligned, and need no copy to be read
# by a compiled function.)
_DRAWS_PER_LAYER = 36
NUM_DRAWS = NUM_LAYERS * _DRAWS_PER_LAYER

# A crop whose shorter side is at least so long has motion of full size; in a smaller one it shrinks
# in proportion.
_FULL_MOTION_SIDE = 224
_CHARACTERS = "ABCDEFGHIKLMNOPRSTUVWXYZabcdefghiklmnoprstuvwxyz0123456789"
_CELL = (24, 16)  # of a character, (rows, columns) of pixels
_BARS, _TEXT = 1, 2  # what a layer is cut into


class Layer(NamedTuple):
    """One layer of N triplets; (N,) tensors, lengths in pixels.

    A layer's own coordinates are pixels from its center, at time 0.5.
    """

    opacity: torch.Tensor  # 0 where a triplet has no such layer
    # Motion from frame_1 to frame_2, around the center at time 0.5.
    center_x: torch.Tensor
    center_y: torch.Tensor
    motion_x: torch.Tensor
    motion_y: torch.Tensor
    spin: torch.Tensor  # radians
    growth: torch.Tensor  # of the logarithm of the scale
    # Shape.
    turn: torch.Tensor  # radians, of shape and pattern
    radius: torch.Tensor
    aspect: torch.Tensor
    corners: torch.Tensor  # of the polygon, waves around the blob
    ripple: torch.Tensor  # depth of these waves, as a part of the radius; negative: a polygon
    wall: torch.Tensor  # half the thickness of a ring; negative: filled
    softness: torch.Tensor  # width of the edge
    cut: torch.Tensor  # 0, _BARS or _TEXT
    # Texture.
    still: torch.Tensor  # int64
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
    duty: torch.Tensor
    letter_zoom: torch.Tensor  # pixels of a character's cell per pixel
    letter_seed: torch.Tensor  # int64
    dark: torch.Tensor  # (N, 3), 0 to 255
    light: torch.Tensor  # (N, 3)


def draw_layer(
    draws: torch.Tensor,
    opacity: torch.Tensor,
    stills: torch.Tensor,
    is_background: bool,
) -> Layer:
    """One layer of each triplet out of (N, _DRAWS_PER_LAYER) numbers in [0, 1).

    The first is the speed. Of layers 15 % are still, 25 % move by up to 8 pixels, half of them by 8
    to 25, the rest by up to 40; half of those that move turn, half of them grow or shrink.
    """
    num_stills, _, height, width = stills.shape
    draw = iter(draws.unbind(1))
    side = min(height, width)

    speed = next(draw)
    distance = (speed - 0.15).clamp(0, 0.25) * 32
    distance = distance + (speed - 0.4).clamp(0, 0.5) * 34 + (speed - 0.9).clamp(min=0) * 150
    distance = distance * min(1.0, side / _FULL_MOTION_SIDE)
    direction = next(draw) * (2 * math.pi)
    place_x, place_y, size = next(draw), next(draw), next(draw)
    if is_background:
        center_x = torch.full_like(speed, (width - 1) / 2)
        center_y = torch.full_like(speed, (height - 1) / 2)
        radius = torch.full_like(speed, math.hypot(height, width) / 2)
    else:
        center_x, center_y = place_x * (width - 1), place_y * (height - 1)
        radius = side * 0.07 * 5.5**size
    # At the rim they move it by at most half of the distance.
    spin = _half_zero(next(draw)) * distance / (2 * radius)
    growth = _half_zero(next(draw)) * distance / (2 * radius)

    turn = _half_zero(next(draw)) * math.pi
    aspect = 2 ** (2 * next(draw) - 1)
    corners = (next(draw) * 4).floor() + 3
    ripple, wall, soft, cut = next(draw), next(draw), next(draw), next(draw)

    still = torch.arange(len(draws), device=draws.device)
    which = (next(draw) * max(num_stills - 1, 1)).long()
    still_x, still_y = next(draw) * (width - 1), next(draw) * (height - 1)
    if is_background:  # nearly the still as it is, so that few pixels lie beyond its border
        still_x = center_x + (still_x - center_x) * 0.1
        still_y = center_y + (still_y - center_y) * 0.1
    else:
        still = still + 1 + which
    zoom = 0.85 * 1.25 ** next(draw)

    strength, pattern = next(draw), next(draw)
    share = ((strength - 0.8) * 3 if is_background else (strength - 0.5) * 4).clamp(0, 1)
    period_x, period_y = 4 * 8 ** next(draw), 4 * 8 ** next(draw)
    duty, letter_zoom, letter_seed = next(draw), next(draw), next(draw)
    colors = torch.stack([next(draw) for _ in range(6)], 1).view(-1, 2, 3)
    gray = colors.mean(2, keepdim=True)
    colors = 255 * (gray + (colors - gray) * next(draw)[:, None, None])
    return Layer(
        opacity=opacity,
        center_x=center_x,
        center_y=center_y,
        motion_x=distance * direction.cos(),
        motion_y=distance * direction.sin(),
        spin=spin,
        growth=growth,
        turn=turn,
        radius=radius,
        aspect=aspect,
        corners=corners,
        ripple=torch.where(ripple < 0.5, ripple * 0.6, -1.0),
        wall=torch.where(wall < 0.2, 1 + 15 * wall, -1.0),
        softness=torch.where(soft < 0.7, 1.0, 1 + 50 * (soft - 0.7)),
        cut=(cut < 0.12) * _BARS + (cut > 0.82) * _TEXT,
        still=still % num_stills,
        still_x=still_x,
        still_y=still_y,
        zoom=zoom,
        pattern_share=share,
        stripes=(pattern < 0.35).float(),
        checkers=((pattern >= 0.35) & (pattern < 0.5)).float(),
        grid=((pattern >= 0.5) & (pattern < 0.75)).float(),
        text=(pattern >= 0.75).float(),
        period_x=period_x,
        period_y=period_y,
        duty=0.3 + 0.4 * duty,
        letter_zoom=0.7 * 2.2**letter_zoom,
        letter_seed=(letter_seed * 2**20).long(),
        dark=colors[:, 0],
        light=colors[:, 1],
    )


def _half_zero(draw: torch.Tensor) -> torch.Tensor:
    """-1 to 1; half of them are 0."""
    centered = 2 * draw - 1
    return centered.sign() * (2 * centered.abs() - 1).clamp(min=0)


def paint_layer(
    canvas: torch.Tensor | None,
    stills: torch.Tensor,
    glyphs: torch.Tensor,
    layer: Layer,
    times: torch.Tensor,
) -> torch.Tensor:
    """The canvas with a layer over it.

    Args:
        canvas: (N, T, 3, H, W) float, 0 to 255; None = the layer is the background and covers all.
        stills: (B, 3, H, W) uint8.
        glyphs: see `glyph_cells`.
        layer: of the N triplets.
        times: (N, T) of the frames; 0 is frame_1, 1 is frame_2.
    """
    height, width = stills.shape[-2:]
    of = Layer(*(x.view(-1, 1, x[0].numel(), 1, 1) for x in layer))
    elapsed = times[:, :, None, None, None] - 0.5
    # From a pixel to the layer's own coordinates.
    x = torch.arange(width, device=times.device) - (of.center_x + of.motion_x * elapsed)
    y = torch.arange(height, device=times.device)[:, None]
    y = y - (of.center_y + of.motion_y * elapsed)
    x, y = _turned(x, y, of.spin * elapsed)
    scale = torch.exp(-of.growth * elapsed)
    x, y = x * scale, y * scale

    color = _sample(stills, of.still, x * of.zoom + of.still_x, y * of.zoom + of.still_y)
    x, y = _turned(x, y, of.turn)
    letters = _letters(glyphs, x * of.letter_zoom, y * of.letter_zoom, of.letter_seed)
    bars, rows = _stripes(x, of.period_x, of.duty), _stripes(y, of.period_y, of.duty)
    pattern = (
        of.stripes * bars
        + of.checkers * (bars + rows - 2 * bars * rows)
        + of.grid * (bars * rows)
        + of.text * letters
    )
    color = color + of.pattern_share * (of.dark + (of.light - of.dark) * pattern - color)
    if canvas is None:
        return color
    cut = torch.where(of.cut == _BARS, bars, torch.where(of.cut == _TEXT, letters, 1.0))
    return canvas + of.opacity * _coverage(x, y, of) * cut * (color - canvas)


def _turned(
    x: torch.Tensor, y: torch.Tensor, angle: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Coordinates in axes that are turned by an angle, from x towards y."""
    cos, sin = angle.cos(), angle.sin()
    return cos * x + sin * y, cos * y - sin * x


def _sample(
    stills: torch.Tensor, still: torch.Tensor, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """The stills at x, y: cubic (Catmull-Rom), mirrored beyond their borders; not clamped."""
    height, width = stills.shape[-2:]
    values = stills.reshape(-1)
    plane = still * 3 + torch.arange(3, device=x.device)[:, None, None]
    columns, rows = _cubic_taps(x, width), _cubic_taps(y, height)
    result = torch.zeros((), device=x.device)
    for row, row_weight in rows:
        line = (plane * height + row) * width
        mean = torch.zeros((), device=x.device)
        for column, weight in columns:
            mean = mean + weight * values[line + column]
        result = result + row_weight * mean
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
        index = first.long() + (i - 1)
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
    which = column.long() * 73856093 + row.long() * 19349663 + seed
    which = ((which ^ (which >> 11)) & 0xFFFFF) * 40503
    which = ((which ^ (which >> 9)) & 0xFFFFF) % len(glyphs)
    x = (x - column * columns - 0.5).clamp(0, columns - 1)
    y = (y - row * rows - 0.5).clamp(0, rows - 1)
    left, top = x.long().clamp(max=columns - 2), y.long().clamp(max=rows - 2)
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
    """Pictures of characters and of spaces between words, (G, rows, columns) uint8, 255 = ink."""
    cells = []
    for character in _CHARACTERS:
        cell = np.zeros(_CELL, np.uint8)
        place = (2, _CELL[0] - 7)
        cv2.putText(cell, character, place, cv2.FONT_HERSHEY_DUPLEX, 0.55, 255, 1, cv2.LINE_AA)
        cells.append(cell)
    spaces = [np.zeros(_CELL, np.uint8)] * (len(cells) // 5)
    return torch.from_numpy(np.stack(cells + spaces)).to(device)


def layered_triplets(
    stills: torch.Tensor, draws: torch.Tensor, t: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """N triplets; triplet i has still i as its background, others in its layers.

    Args:
        stills: (B, 3, H, W) uint8, B >= N.
        draws: (N, NUM_DRAWS) float32 in [0, 1): everything that is random.
        t: (N,) float32 in (0, 1), the time of frame_t.

    Returns:
        frame_1, frame_t and frame_2, (N, 3, H, W) uint8.
    """
    paint = _painter(stills.device.type)
    glyphs = glyph_cells(stills.device)
    times = torch.stack([torch.zeros_like(t), t, torch.ones_like(t)], 1)
    draws = draws.view(-1, NUM_LAYERS, _DRAWS_PER_LAYER)
    # 2 to NUM_LAYERS layers: decided by the last draw of the background, which is always there.
    number = 2 + draws[:, 0, -1] * (NUM_LAYERS - 1)
    canvas = None
    for i in range(NUM_LAYERS):
        canvas = paint(canvas, stills, glyphs, draws[:, i], number - i, times)
    return tuple((canvas + 0.5).clamp(0, 255).to(torch.uint8).unbind(1))


def _draw_and_paint(canvas, stills, glyphs, draws, layers_left, times):
    opacity = (layers_left >= 1).float()
    layer = draw_layer(draws, opacity, stills, is_background=canvas is None)
    return paint_layer(canvas, stills, glyphs, layer, times)


@functools.cache
def _painter(device_type: str) -> Callable[..., torch.Tensor]:
    """Compiled where that pays; what is compiled is kept for the next call."""
    if device_type != "cuda":
        return _draw_and_paint
    return torch.compile(_draw_and_paint, fullgraph=True, dynamic=False)
