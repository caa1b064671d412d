"""Stills and random numbers in, layered triplets out whose middle frame is exactly true.

A triplet is a background and up to NUM_LAYERS - 1 layers in front of it. Each has a texture (a
still, stripes, a grid, text), a shape, and a motion of its own: translation, rotation and log scale
are linear in time. All frames are drawn by the same code, so that frame_t is as sharp as the
others.

Layers are painted one after the other (layer_painting.py) by one function, which `torch.compile`
turns into one kernel; that keeps compilation short and memory small. No tensor's shape depends on
data, and nothing waits for the device.
"""

import functools
import math
from collections.abc import Callable

import torch

from .layer_painting import (
    CUT_TO_BARS,
    CUT_TO_TEXT,
    Layer,
    Planes,
    glyph_cells,
    pack_pixels,
    paint_layer,
)

NUM_LAYERS = 8  # at most, including the background
_DRAWS_PER_LAYER = 33  # the background's last draw sets the number of layers
NUM_DRAWS = NUM_LAYERS * _DRAWS_PER_LAYER

# A crop whose shorter side is at least this long has full motion; in a smaller crop, motion shrinks
# in proportion.
_FULL_MOTION_SIDE = 224


def draw_layers(draws: torch.Tensor, num_stills: int, size: tuple[int, int]) -> Layer:
    """All layers of N triplets, the background first; fields are (N, NUM_LAYERS).

    The first of a layer's draws is its speed. Of all layers, 15 % are still, 25 % move by up to 8
    pixels, half by 8 to 25, the rest by up to 40. Half of the moving layers turn, and half grow or
    shrink.

    Args:
        draws: (N, NUM_DRAWS) in [0, 1).
        num_stills: number of stills.
        size: (H, W) of the frames.
    """
    height, width = size
    side = min(size)
    draws = draws.view(-1, NUM_LAYERS, _DRAWS_PER_LAYER)
    draw = iter(draws.unbind(2))
    layer = torch.arange(NUM_LAYERS, device=draws.device)
    is_background = layer == 0
    number = 2 + draws[:, :1, -1] * (NUM_LAYERS - 1)

    speed = next(draw)
    distance = (speed - 0.15).clamp(0, 0.25) * 32
    distance = distance + (speed - 0.4).clamp(0, 0.5) * 34 + (speed - 0.9).clamp(min=0) * 150
    distance = distance * min(1.0, side / _FULL_MOTION_SIDE)
    direction = next(draw) * (2 * math.pi)
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    center_x = torch.where(is_background, middle_x, next(draw) * (width - 1))
    center_y = torch.where(is_background, middle_y, next(draw) * (height - 1))
    radius = side * 0.07 * 5.5 ** next(draw)
    radius = torch.where(is_background, math.hypot(height, width) / 2, radius)
    # At the rim, they move it by at most half of the distance.
    spin = _half_zero(next(draw)) * distance / (2 * radius)
    growth = _half_zero(next(draw)) * distance / (2 * radius)

    turn = _half_zero(next(draw)) * math.pi
    aspect = 2 ** (2 * next(draw) - 1)
    corners = (next(draw) * 4).floor() + 3
    ripple, wall, soft, cut = next(draw), next(draw), next(draw), next(draw)

    other = 1 + (next(draw) * max(num_stills - 1, 1)).floor()
    still = torch.arange(len(draws), device=draws.device)[:, None] + other * ~is_background
    # The background is nearly the unchanged still, so that few pixels are beyond its border.
    spread = torch.where(is_background, 0.1, 1.0)
    still_x = middle_x + (next(draw) - 0.5) * (width - 1) * spread
    still_y = middle_y + (next(draw) - 0.5) * (height - 1) * spread
    zoom = 0.85 * 1.25 ** next(draw)

    share = next(draw)
    share = torch.where(is_background, (share - 0.8) * 3, (share - 0.5) * 4).clamp(0, 1)
    pattern = next(draw)
    period_x, period_y = 4 * 8 ** next(draw), 4 * 8 ** next(draw)
    duty, letter_zoom, letter_seed = next(draw), next(draw), next(draw)
    colors = torch.stack([next(draw) for _ in range(6)]).unflatten(0, (2, 3))
    gray = colors.mean(1, keepdim=True)
    colors = 255 * (gray + (colors - gray) * next(draw))
    return Layer(
        (layer + 1 <= number).float(),
        *(center_x, center_y, distance * direction.cos(), distance * direction.sin()),
        *(spin, growth, turn, radius, aspect, corners),
        ripple=torch.where(ripple < 0.5, ripple * 0.6, -1.0),
        wall=torch.where(wall < 0.2, 1 + 15 * wall, -1.0),
        softness=torch.where(soft < 0.7, 1.0, 1 + 50 * (soft - 0.7)),
        cut=torch.where(cut < 0.12, CUT_TO_BARS, torch.where(cut > 0.82, CUT_TO_TEXT, 0.0)),
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
        letter_seed=(letter_seed * 2**20).floor(),
        **dict(zip(Layer._fields[-6:], colors.flatten(0, 1), strict=True)),
    )


def _half_zero(draw: torch.Tensor) -> torch.Tensor:
    """-1 to 1; half of them are 0."""
    centered = 2 * draw - 1
    return centered.sign() * (2 * centered.abs() - 1).clamp(min=0)


def layered_triplets(
    stills: torch.Tensor, draws: torch.Tensor, t: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """N triplets; triplet i has still i as its background, others in its layers.

    Args:
        stills: (B, 3, H, W) uint8, B >= N.
        draws: (N, NUM_DRAWS) float32 in [0, 1), the only source of randomness.
        t: (N,) float32 in (0, 1), the time of frame_t.

    Returns:
        frame_1, frame_t and frame_2, (N, 3, H, W) uint8.
    """
    prepare, paint, finish = _steps(stills.device.type)
    glyphs = glyph_cells(stills.device)
    pixels, layers, times = prepare(stills, draws, t)
    canvas = None
    for layer in layers:
        canvas = paint(canvas, pixels, glyphs, layer, times)
    return finish(canvas)


def _prepare(
    stills: torch.Tensor, draws: torch.Tensor, t: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Packed stills, (NUM_LAYERS, fields of a `Layer`, N), and times (N, 3)."""
    height, width = stills.shape[-2:]
    layers = torch.stack(draw_layers(draws, len(stills), (height, width)))
    times = torch.stack([torch.zeros_like(t), t, torch.ones_like(t)], 1)
    return pack_pixels(stills), layers.permute(2, 0, 1).contiguous(), times


def _paint(canvas, pixels, glyphs, layer, times) -> Planes:
    return paint_layer(canvas, pixels, glyphs, Layer(*layer), times)


def _finish(canvas: Planes) -> tuple[torch.Tensor, ...]:
    frames = (torch.stack(canvas, 2) + 0.5).clamp(0, 255).to(torch.uint8)
    return frames.unbind(1)


@functools.cache
def _steps(device_type: str) -> tuple[Callable, ...]:
    """Compiled where that pays; the compiled code is kept for the next call."""
    steps = (_prepare, _paint, _finish)
    if device_type != "cuda":
        return steps
    # Painting a layer takes about a hundred operations; as one kernel they take half the time.
    options: dict[str, str | int | bool | Callable] = {"max_fusion_size": 256}
    return tuple(
        torch.compile(step, fullgraph=True, dynamic=False, options=options) for step in steps
    )
