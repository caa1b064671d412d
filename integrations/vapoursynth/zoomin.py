"""A VapourSynth filter: a clip in, a clip of another frame rate out.

    import zoomin  # this folder is on sys.path

    rgb = clip.resize.Bicubic(format=vs.RGBS, matrix_in_s="709")
    rgb = zoomin.mark_cuts(rgb)
    rgb = zoomin.interpolate(rgb, fps_num=60)

Frames are made when they are asked for, in any order and by any number of threads. Source frames
that fall on a moment of the output pass unchanged.
"""

import math
import threading
from collections import OrderedDict
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
import torch
import vapoursynth as vs

from zoomin_d2 import Interpolator
from zoomin_d2.video.read.source import THUMBNAIL_WIDTH
from zoomin_d2.video.time.step_detection import CUT_MIN, NEIGHBORHOOD, judge_step

PREV, NEXT = "_SceneChangePrev", "_SceneChangeNext"
_KEPT = 4  # intervals whose frames are kept: players ask for a few frames at a time


def interpolate(
    clip: vs.VideoNode,
    fps_num: int = 60,
    fps_den: int = 1,
    model: str = "fast",
    *,
    multi: int | None = None,
    device: str | None = None,
    tile: int | Literal["auto"] | None = "auto",
    quality: Literal["standard", "best"] = "standard",
    backend: str = "torch",
) -> vs.VideoNode:
    """
    Args:
        clip: RGBS or RGBH, of constant frame rate. Values outside [0, 1] are clamped for the model.
        fps_num, fps_den: the frame rate of the result.
        multi: frames out per frame in, instead of a rate.
        model, device, tile, quality, backend: as zoomin_d2.Interpolator takes them.

    Returns:
        a clip of the same format and, to within half a frame, of the same duration. Frame
        properties are those of the frame before, but for _DurationNum, _DurationDen, and, where
        they are set, _AbsoluteTime, _SceneChangePrev and _SceneChangeNext. Where these mark a cut
        (`mark_cuts` sets them), no frame is made across it: the nearer one is shown.

    Raises:
        vs.Error: the clip has another format, no constant size or frame rate, or the rate is not
            of whole numbers above 0.
        FileNotFoundError, ValueError: as zoomin_d2.Interpolator.from_pretrained.
    """
    _check_size(clip, "interpolate")
    if clip.format is None or clip.format.id not in (vs.RGBS, vs.RGBH):
        name = clip.format.name if clip.format and clip.format.id else "a variable one"
        raise vs.Error(
            f"zoomin.interpolate: the format must be RGBS or RGBH, not {name}: "
            "clip.resize.Bicubic(format=vs.RGBS, matrix_in_s='709')"
        )
    if not clip.fps:
        raise vs.Error(
            "zoomin.interpolate: the frame rate is variable or unknown; std.AssumeFPS sets one"
        )
    for number in (fps_num, fps_den, 1 if multi is None else multi):
        if not isinstance(number, int) or number < 1:
            raise vs.Error(
                "zoomin.interpolate: fps_num, fps_den and multi must be whole numbers above 0, not "
                f"{number!r}: for 59.94, give fps_num=60000, fps_den=1001"
            )
    rate = clip.fps * multi if multi else Fraction(fps_num, fps_den)
    made = _Made(clip, rate, _load(model, device, tile, quality, backend))
    blank = clip.std.BlankClip(
        length=made.num_frames, fpsnum=rate.numerator, fpsden=rate.denominator, keep=True
    )
    left, right = (
        blank.std.FrameEval(partial(made.source_frame, later=k), clip_src=[clip]) for k in (0, 1)
    )
    return blank.std.ModifyFrame([left, right], made.frame)


def mark_cuts(clip: vs.VideoNode, threshold: float = CUT_MIN) -> vs.VideoNode:
    """The clip with _SceneChangePrev and _SceneChangeNext set at hard cuts, by luma alone.

    zoomin-interpolate also finds cuts in chroma and between dark shots, fades, and dissolves, for
    which it reads the frames in order.

    Args:
        clip: of any format and constant size.
        threshold: smallest mean luma difference of a cut, 0 to 255.

    Raises:
        vs.Error: the size is variable.
    """
    _check_size(clip, "mark_cuts")
    height = max(1, round(clip.height * THUMBNAIL_WIDTH / clip.width))
    matrix = {"matrix_s": "709"} if clip.format.color_family == vs.RGB else {}
    small = clip.resize.Bilinear(THUMBNAIL_WIDTH, height, format=vs.GRAY8, **matrix)
    steps = small.std.PlaneStats(_shift(small, 1))
    places = range(-NEIGHBORHOOD - 1, NEIGHBORHOOD + 1)
    around = [_shift(steps, k) for k in places]
    last = clip.num_frames - 2  # the last step

    def mark(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        found = {n + k: 255 * x.props["PlaneStatsDiff"] for k, x in zip(places, f[1:])}

        def is_cut(step: int) -> bool:
            window = range(max(step - NEIGHBORHOOD, 0), min(step + NEIGHBORHOOD, last) + 1)
            if step not in window:
                return False
            differences = np.array([found[k] for k in window if k in found])
            return judge_step(differences, step - window[0], threshold).cut

        marked = f[0].copy()
        marked.props[PREV], marked.props[NEXT] = int(is_cut(n - 1)), int(is_cut(n))
        return marked

    return clip.std.ModifyFrame([clip, *around], mark)


def _check_size(clip: vs.VideoNode, name: str) -> None:
    if not clip.width:
        raise vs.Error(
            f"zoomin.{name}: the size is variable; clip.resize.Bicubic(1920, 1080) sets one"
        )


def _shift(clip: vs.VideoNode, count: int) -> vs.VideoNode:
    """Frame n is frame n + count of the clip, or the first or last one."""
    length = clip.num_frames
    count = max(1 - length, min(count, length - 1))
    if count > 0:
        return clip[count:] + clip[-1] * count
    return clip[0] * -count + clip[:count] if count else clip


class _Made:
    """The frames of the result."""

    def __init__(self, clip: vs.VideoNode, rate: Fraction, model: "_Model"):
        self._clip, self._rate, self._model = clip, rate, model
        self._step = clip.fps / rate  # source frames per frame of the result
        self.num_frames = max(1, round(clip.num_frames / self._step))
        self._kept: OrderedDict[int, dict[int, np.ndarray]] = OrderedDict()
        self._lock = threading.Lock()

    def source_frame(self, n: int, later: int) -> vs.VideoNode:
        """The source frame at or before frame n, or the one after that, as a clip."""
        index = min(int(n * self._step) + later, self._clip.num_frames - 1)
        return self._clip[index]

    def frame(self, n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        """Frame n of the result, from the two source frames around it."""
        left, right = f
        index, t = self._place(n)
        cuts = {
            index - 1: bool(left.props.get(PREV)),
            index: bool(left.props.get(NEXT) or right.props.get(PREV)),
            index + 1: bool(right.props.get(NEXT)),
        }
        belongs = [self._belongs(k, cuts) for k in (n - 1, n, n + 1)]
        is_made = t > 0 and index + 1 < self._clip.num_frames and not cuts[index]
        shown = (right if belongs[1] > index and not is_made else left).copy()
        if is_made:
            for plane, pixels in enumerate(self._make(n, index, left, right)):
                np.copyto(np.asarray(shown[plane]), pixels)
        props = shown.props
        props["_DurationNum"] = self._rate.denominator
        props["_DurationDen"] = self._rate.numerator
        if "_AbsoluteTime" in left.props:
            props["_AbsoluteTime"] = left.props["_AbsoluteTime"] + float(t / self._clip.fps)
        for name, (a, b) in {PREV: belongs[:2], NEXT: belongs[1:]}.items():
            if name in props:
                props[name] = int(any(cuts.get(k) for k in range(a, b)))
        return shown

    def _place(self, n: int) -> tuple[int, Fraction]:
        place = n * self._step
        index = int(place)
        return index, place - index

    def _belongs(self, n: int, cuts: dict[int, bool]) -> int:
        """The source frame in whose scene frame n is."""
        index, t = self._place(max(n, 0))
        return min(index + (cuts.get(index, False) and t > Fraction(1, 2)), len(self._clip) - 1)

    def _make(self, n: int, index: int, left: vs.VideoFrame, right: vs.VideoFrame) -> np.ndarray:
        """(3, H, W). All frames between two of the source are made at once, and kept for a while,
        because the model then does part of its work once."""
        with self._lock:
            if index not in self._kept:
                inside = range(*(math.ceil(k / self._step) for k in (index, index + 1)))
                ts = {k: self._place(k)[1] for k in inside if self._place(k)[1] > 0}
                frames = self._model(left, right, [float(t) for t in ts.values()])
                self._kept[index] = dict(zip(ts, frames))
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            return self._kept[index][n]


class _Model:
    """An Interpolator of VapourSynth's frames, which one thread uses at a time."""

    def __init__(self, interpolator: Interpolator):
        self._interpolator, self._lock = interpolator, threading.Lock()

    def __call__(
        self, left: vs.VideoFrame, right: vs.VideoFrame, ts: list[float]
    ) -> list[np.ndarray]:
        pair = [_to_tensor(frame) for frame in (left, right)]
        with self._lock:
            frames = self._interpolator(*pair, ts)
        return [frame[0].clamp(0, 1).cpu().numpy() for frame in frames]


@lru_cache(maxsize=2)
def _load(name: str, device: str | None, *options: Any) -> _Model:
    tile, quality, backend = options
    chosen = {"tile": tile, "quality": quality, "backend": backend}
    return _Model(Interpolator.from_pretrained(name, device, **chosen).for_videos())


def _to_tensor(frame: vs.VideoFrame) -> torch.Tensor:
    """(1, 3, H, W) float32 in [0, 1]."""
    planes = np.stack([np.asarray(frame[plane]) for plane in range(3)]).astype(np.float32)
    return torch.from_numpy(planes).nan_to_num().clamp(0, 1)[None]
