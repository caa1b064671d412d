"""How many cuts, fades and dissolves are found, and how many where there are none.

    python -m tests.stress scene_cuts --clips FOLDER  # of videos that hold one shot each
    python -m tests.stress scene_cuts --clips FOLDER --pairs 40 --seed 1

From random pairs of the clips it makes edits of every kind, and pictures without any: flashes,
pans over a still, plain shots. They are written as H.264, 320 pixels wide, and read by the detector
of zoomin-interpolate at its defaults and by those of PySceneDetect (`pip install scenedetect`; it
is left out where it is not installed). An edit is found if a detection lies within it, give or
take SLACK frames; further ones in the same edit count neither way.
"""

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from tabulate import tabulate

from tests.helpers.videos import find_real_clip
from zoomin_d2.frames import VIDEO_SUFFIXES
from zoomin_d2.video import open_source
from zoomin_d2.video.jobs.list_cuts import find_cuts
from zoomin_d2.video.time.scene_cuts import mark_steps

SIZE = (320, 180)
SHOT = 40  # frames of a shot, outside of the edit
SLACK = 2
DARK = 20  # mean of a dark shot, 8 % of white
BIKES = ("bikes.mp4", [(30, 30), (137, 137), (187, 187), (242, 242)])  # real cuts, seen by eye
Frames = list[np.ndarray]
Edit = tuple[int, int]  # the first and the last frame that may be named


class Made(NamedTuple):
    """A clip and where its edits are."""

    frames: Frames
    edits: list[Edit]


def hard(a: Frames, b: Frames, _: np.random.Generator) -> Made:
    return Made([*a[:SHOT], *b[:SHOT]], [(SHOT, SHOT)])


def dark(a: Frames, b: Frames, rng: np.random.Generator) -> Made:
    def dim(shot: Frames) -> Frames:
        share = min(1.0, DARK / np.mean(shot))
        return [(frame * share).astype(np.uint8) for frame in shot]

    return hard(dim(a), dim(b), rng)


def chroma(a: Frames, b: Frames, rng: np.random.Generator) -> Made:
    """The luma of one shot throughout; the colors change to those of the other."""
    colors = hard(a, b, rng)
    frames = []
    for luma, color in zip([*a, *a[::-1]], colors.frames):
        planes = cv2.cvtColor(color, cv2.COLOR_RGB2YCrCb)
        planes[..., 0] = cv2.cvtColor(luma, cv2.COLOR_RGB2YCrCb)[..., 0] // 2 + 64
        frames.append(cv2.cvtColor(planes, cv2.COLOR_YCrCb2RGB))
    return Made(frames, colors.edits)


def dissolve(steps: int) -> Callable[[Frames, Frames, np.random.Generator], Made]:
    def make(a: Frames, b: Frames, _: np.random.Generator) -> Made:
        over = zip(a[SHOT : SHOT + steps - 1], b, strict=False)
        mixed = [mix(x, y, (k + 1) / steps) for k, (x, y) in enumerate(over)]
        frames = [*a[:SHOT], *mixed, *b[steps - 1 : steps - 1 + SHOT]]
        return Made(frames, [(SHOT, SHOT + steps - 1)])

    return make


def fade(a: Frames, b: Frames, rng: np.random.Generator) -> Made:
    """Out to black or white in 12 steps, and in again."""
    plain = np.full_like(a[0], 255 * (rng.random() < 0.3))
    out = [mix(x, plain, (k + 1) / 12) for k, x in enumerate(a[SHOT : SHOT + 11])]
    back = [mix(plain, y, (k + 1) / 12) for k, y in enumerate(b[:11])]
    frames = [*a[:SHOT], *out, *[plain] * 12, *back, *b[11 : 11 + SHOT]]
    return Made(frames, [(SHOT, SHOT + 11), (SHOT + 23, SHOT + 34)])


def flash(a: Frames, _: Frames, rng: np.random.Generator) -> Made:
    frames = list(a)
    for i in range(SHOT // 2, SHOT // 2 + int(rng.integers(1, 4))):
        frames[i] = mix(frames[i], np.full_like(frames[i], 255), 0.8)
    return Made(frames, [])


def pan(a: Frames, _: Frames, rng: np.random.Generator) -> Made:
    """Over a frame, at 1 to 8 pixels a frame of its own size."""
    speed = int(rng.integers(1, 9))
    num_frames = min(SHOT, (SIZE[0] - 96) // speed)
    large = cv2.resize(a[0], (2 * SIZE[0], 2 * SIZE[1]))
    starts = range(0, 2 * speed * num_frames, 2 * speed)
    return Made([large[90:270, s : s + SIZE[0] - 128] for s in starts if s <= 448], [])


def plain(a: Frames, _: Frames, __: np.random.Generator) -> Made:
    return Made(a, [])


KINDS = {
    "hard cut": hard,
    "cut between dark shots": dark,
    "cut in chroma alone": chroma,
    "dissolve, 8 steps": dissolve(8),
    "dissolve, 16 steps": dissolve(16),
    "fade out and in, 12 steps each": fade,
    "flash (none)": flash,
    "pan (none)": pan,
    "plain shot (none)": plain,
}


def mix(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return cv2.addWeighted(a, 1 - share, b, share, 0)


def read(path: Path, num_frames: int) -> Frames:
    """The first frames of a video, 320 x 180 RGB."""
    with av.open(str(path)) as container:
        decoded = zip(range(num_frames), container.decode(video=0))
        return [
            cv2.resize(frame.to_ndarray(format="rgb24"), SIZE, interpolation=cv2.INTER_AREA)
            for _, frame in decoded
        ]


def write(path: Path, frames: Frames) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "20", "preset": "veryfast"}
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame))))
        out.mux(stream.encode())


def ours(path: Path) -> list[Edit]:
    with open_source(path) as source:
        found = find_cuts(mark_steps(source.frames()), source.to_rgb)
        return [(cut.frame or 0, (cut.frame or 0) + cut.frames - 1) for cut, _, _ in found]


def pyscenedetect(name: str) -> Callable[[Path], list[Edit]]:
    def find(path: Path) -> list[Edit]:
        import scenedetect

        scenes = scenedetect.detect(str(path), getattr(scenedetect, name)())
        return [(start.frame_num, start.frame_num) for start, _ in scenes[1:]]

    return find


def score(found: list[Edit], edits: list[Edit]) -> tuple[int, int]:
    """(edits found, detections that belong to none)."""

    def meet(a: Edit, b: Edit) -> bool:
        return a[0] <= b[1] + SLACK and b[0] <= a[1] + SLACK

    hits = sum(any(meet(x, edit) for x in found) for edit in edits)
    return hits, sum(not any(meet(x, edit) for edit in edits) for x in found)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=Path, required=True, help="folder of videos of one shot")
    parser.add_argument("--pairs", type=int, default=20, help="clips of each kind (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    detectors = {"ours": ours}
    if importlib.util.find_spec("scenedetect"):
        detectors |= {name: pyscenedetect(name) for name in ("AdaptiveDetector", "ContentDetector")}
    else:
        print("PySceneDetect is not installed: pip install scenedetect")
    files = sorted(f for f in args.clips.iterdir() if f.suffix.lower() in VIDEO_SUFFIXES)
    rng = np.random.default_rng(args.seed)
    counts = {name: {kind: np.zeros(3, int) for kind in KINDS} for name in detectors}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.mp4"
        for _ in range(args.pairs):
            a, b = draw_pair(files, rng)
            for kind, make in KINDS.items():
                made = make(a, b, rng)
                write(path, made.frames)
                for name, find in detectors.items():
                    hits, wrong = score(find(path), made.edits)
                    counts[name][kind] += (len(made.edits), hits, wrong)
    real = find_real_clip(BIKES[0])
    if real is not None:
        for name, find in detectors.items():
            hits, wrong = score(find(real), BIKES[1])
            counts[name]["real clip (bikes)"] = np.array([len(BIKES[1]), hits, wrong])
    print(table(counts))


def draw_pair(files: list[Path], rng: np.random.Generator) -> tuple[Frames, Frames]:
    """Two shots that are long enough, from files whose names begin differently."""
    while True:
        a, b = (files[i] for i in rng.choice(len(files), 2, replace=False))
        if a.stem.rpartition("_")[0] == b.stem.rpartition("_")[0]:
            continue
        shots = read(a, SHOT + 16), read(b, SHOT + 16)
        if min(map(len, shots)) == SHOT + 16:
            return shots


def table(counts: dict[str, dict[str, np.ndarray]]) -> str:
    """Edits found of those that there are, and false detections, per kind and detector."""
    kinds = list(next(iter(counts.values())))
    rows = []
    for kind in kinds:
        row = [kind]
        for by_kind in counts.values():
            edits, hits, wrong = by_kind[kind]
            row.append((f"{hits} of {edits}, " if edits else "") + f"{wrong} false")
        rows.append(row)
    last = ["precision, recall"]
    for by_kind in counts.values():
        edits, hits, wrong = sum(by_kind.values())
        last.append(f"{hits / max(1, hits + wrong):.3f}, {hits / edits:.3f}")
    return tabulate([*rows, last], headers=["edit", *counts])
