"""Feed damaged and hostile files to whatever reads files, for as long as asked.

    python -m tests.stress fuzz  # every target, 10 minutes each
    python -m tests.stress fuzz --minutes 1 video checkpoint  # some of them

Hypothesis damages small valid files (flipped, cut, repeated and inserted bytes, and for text,
entirely different values). Each file must be read, or refused with one of the errors that the
reader documents. Anything else is a finding: other exceptions, more than --seconds for one file,
memory beyond --memory, or a crash of the process. A finding is shrunk and saved below --output, and
the tool continues with the next target; the exit code is 1 if there were any.
"""

import argparse
import contextlib
import faulthandler
import io
import json
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import torch
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_safetensors

from tests.helpers.training_runs import REPOSITORY
from zoomin_d2.data.datasets.prepared_clips import load_prepared_clips
from zoomin_d2.data.datasets.records import MissingDatasetError
from zoomin_d2.data.datasets.snu_film import load_snu_film
from zoomin_d2.data.datasets.triplet_folders import load_triplet_folders
from zoomin_d2.data.datasets.vimeo90k import load_vimeo90k
from zoomin_d2.data.frame_store import FrameStore
from zoomin_d2.data.packing import INDEX_VERSION, write_shot
from zoomin_d2.data.video_file import VideoFile, iter_frames
from zoomin_d2.engine import setup_cfg
from zoomin_d2.frames import CorruptFrameError
from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read.images import ImageReader
from zoomin_d2.video.read.reader import VideoReader
from zoomin_d2.weight_files import UnreadableWeightsError, read_weights

EXAMPLES_PER_ROUND = 200


class Finding(AssertionError):
    """A file was neither read nor refused as documented."""


# -- damage


def damage(content: bytes) -> st.SearchStrategy[bytes]:
    """The content after some edits."""
    place = st.integers(0, max(len(content) - 1, 0))
    few = st.binary(min_size=1, max_size=8)
    interesting = st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0"])
    edit = st.one_of(
        st.tuples(st.just("overwrite"), place, few | interesting),
        st.tuples(st.just("insert"), place, few | interesting),
        st.tuples(st.just("cut"), place, st.integers(1, 64)),
        st.tuples(st.just("truncate"), place, st.just(0)),
        st.tuples(st.just("repeat"), place, st.integers(1, 64)),
    )
    return st.lists(edit, max_size=6).map(lambda edits: _apply(content, edits))


def _apply(content: bytes, edits: list[tuple]) -> bytes:
    data = bytearray(content)
    for kind, place, value in edits:
        if kind == "overwrite":
            data[place : place + len(value)] = value
        elif kind == "insert":
            data[place:place] = value
        elif kind == "cut":
            del data[place : place + value]
        elif kind == "truncate":
            del data[place:]
        else:
            data[place:place] = data[place : place + value] * 3
    return bytes(data)


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["../../etc/passwd", "/etc/passwd", "a\0b", "shots/a.npy"]),
)
VALUES = st.recursive(
    _SCALARS,
    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=8), x, max_size=4),
    max_leaves=8,
)


def mutate_json(value, path_and_new: tuple[list[int], object]):
    """A copy of nested lists and dicts with one place, reached by choices, set to a new value."""
    path, new = path_and_new
    if not path or not isinstance(value, dict | list) or not value:
        return new
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[path[0] % len(keys)]
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = mutate_json(value[key], (path[1:], new))
    return copy


def other_values(value) -> st.SearchStrategy:
    change = st.tuples(st.lists(st.integers(0, 20), max_size=5), VALUES)
    return st.lists(change, min_size=1, max_size=3).map(lambda changes: _fold(value, changes))


def _fold(value, changes):
    for change in changes:
        value = mutate_json(value, change)
    return value


# -- targets: (strategy of file contents, what reads the file, the errors it documents)


def config_target(folder: Path):
    text = (REPOSITORY / "configs/quick_schedules/Base-Instant.yaml").read_text()
    plain = yaml.safe_load(text)
    plain["_BASE_"] = str(REPOSITORY / "configs/roigan.yaml")
    contents = st.one_of(
        damage(yaml.safe_dump(plain).encode()),
        other_values(plain).map(lambda x: yaml.safe_dump(x).encode()),
        st.just(b"_BASE_: fuzzed.yaml\n"),
        st.just(b"a: !!python/object/apply:os.getcwd []\n"),
    )

    def read(content: bytes) -> None:
        path = folder / "fuzzed.yaml"
        path.write_bytes(content)
        setup_cfg(str(path), [])

    return contents, read, (ValueError, FileNotFoundError)


def dataset_target(folder: Path):
    prepared = folder / "prepared"
    (prepared / "shots").mkdir(parents=True)
    write_shot(prepared / "shots/a.npy", (np.zeros((8, 9, 3), np.uint8) for _ in range(5)), 5)
    shot = {"file": "shots/a.npy", "file_name": "a", "runs": [[0, 5]], "height": 8, "width": 9}
    shot |= {"fps": 25.0, "hr_scale": 0, "split": "train"}
    index = {"version": INDEX_VERSION, "shots": [shot], "options": {"pack": True}}
    triplets = folder / "triplets" / "scene"
    triplets.mkdir(parents=True)
    image = cv2.imencode(".png", np.zeros((8, 9, 3), np.uint8))[1].tobytes()
    for i in range(3):
        (triplets / f"0_{i}.png").write_bytes(image)
    vimeo = folder / "vimeo/sequences/00001/0001"
    vimeo.mkdir(parents=True)
    line = b"data/SNU-FILM/test/a/1.png data/SNU-FILM/test/a/2.png data/SNU-FILM/test/a/3.png\n"
    contents = st.one_of(
        st.tuples(st.just("index"), damage(json.dumps(index).encode())),
        st.tuples(st.just("index"), other_values(index).map(lambda x: json.dumps(x).encode())),
        st.tuples(st.just("snu"), damage(line * 310)),
        st.tuples(st.just("vimeo"), damage(b"00001/0001\n")),
        st.tuples(st.just("image"), damage(image)),
    )

    def read(content: tuple[str, bytes]) -> None:
        kind, data = content
        if kind == "index":
            (prepared / "index.json").write_bytes(data)
            for record in load_prepared_clips(prepared, "x", "prepare it"):
                FrameStore().read(record["frames"][-1])
        elif kind == "snu":
            (folder / "test-easy.txt").write_bytes(data)
            load_snu_film(folder, "easy")
        elif kind == "vimeo":
            (folder / "vimeo/tri_trainlist.txt").write_bytes(data)
            load_vimeo90k(folder / "vimeo", "triplet", "train")
        else:
            (triplets / "0_0.png").write_bytes(data)
            load_triplet_folders(folder / "triplets", "x")

    return contents, read, (MissingDatasetError, CorruptFrameError)


def damaged_files(seeds: list[tuple[str, bytes]]) -> st.SearchStrategy:
    """(suffix, content) of one of the whole files, its content damaged."""
    return st.sampled_from(seeds).flatmap(lambda pair: st.tuples(st.just(pair[0]), damage(pair[1])))


def write_content(folder: Path, content: tuple[str, bytes]) -> Path:
    suffix, data = content
    path = folder / f"fuzzed{suffix}"
    path.write_bytes(data)
    return path


def frame_target(folder: Path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (13, 17, 3), dtype=np.uint8)
    seeds = [
        (suffix, cv2.imencode(suffix, picture)[1].tobytes())
        for suffix in (".png", ".jpg", ".webp", ".bmp", ".tiff")
        for picture in (image, image[..., 0])
    ]
    seeds += [(".ppm", cv2.imencode(".ppm", image)[1].tobytes())]
    seeds += [(".png", cv2.imencode(".png", image.astype(np.uint16) * 257)[1].tobytes())]
    write_shot(folder / "seed.npy", iter([image] * 3), 3)
    seeds += [(".npy", (folder / "seed.npy").read_bytes())]

    def read(content: tuple[str, bytes]) -> None:
        path = write_content(folder, content)
        frame = FrameStore().read((str(path), 1) if path.suffix == ".npy" else str(path))
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise Finding(f"a frame of {frame.dtype} {frame.shape}")
        int(frame.sum())  # touch every pixel
        if path.suffix != ".npy":
            list(ImageReader([path, path]).frames())

    return damaged_files(seeds), read, (CorruptFrameError, BadInputError)


def video_target(folder: Path):
    seeds = []
    for suffix, codec in ((".mp4", "libx264"), (".mkv", "libx264"), (".avi", "mpeg4")):
        path = folder / f"seed{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt, stream.gop_size = 32, 32, "yuv420p", 3
            for i in range(6):
                picture = np.full((32, 32, 3), 40 * i, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        seeds.append((suffix, path.read_bytes()))

    def read(content: tuple[str, bytes]) -> None:
        path = write_content(folder, content)
        for reader in (read_through, read_ends, read_for_interpolation):
            with contextlib.suppress(CorruptFrameError, BadInputError):
                reader(path)

    def read_through(path: Path) -> None:
        for _ in iter_frames(path):
            pass

    def read_ends(path: Path) -> None:
        video = VideoFile(path)
        try:
            video.read(len(video) - 1)
            video.read(0)
        finally:
            video.close()

    def read_for_interpolation(path: Path) -> None:
        with VideoReader(path) as video:
            times = [frame.time for frame in video.frames() if video.to_rgb(frame.picture).size]
            if times != sorted(set(times)):
                raise Finding(f"times that do not increase: {times}")
            video.damage.describe()

    return damaged_files(seeds), read, (CorruptFrameError, BadInputError)


def checkpoint_target(folder: Path):
    weights = {"a.weight": torch.arange(12.0).view(3, 4), "a.bias": torch.zeros(3)}
    state = {"model": weights, "trainer": {"iteration": 3, "hooks": {}}, "format": 1}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    arrays = {"model": {k: v.numpy() for k, v in weights.items()}, "__author__": "x"}
    seeds = [(".pth", buffer.getvalue()), (".safetensors", save_safetensors(weights))]
    seeds += [(".pkl", pickle.dumps(arrays, protocol)) for protocol in (2, 4, 5)]

    def read(content: tuple[str, bytes]) -> None:
        path = write_content(folder, content)
        for value in read_weights(str(path))["model"].values():
            float(torch.as_tensor(value.astype(float) if hasattr(value, "astype") else value).sum())

    return damaged_files(seeds), read, (UnreadableWeightsError,)


TARGETS: dict[str, Callable] = {
    "config": config_target,
    "dataset": dataset_target,
    "frame": frame_target,
    "video": video_target,
    "checkpoint": checkpoint_target,
}


# -- running


def fuzz(
    name: str, until: float, seconds: int, memory: int, output: Path, counter, start: int
) -> None:
    """Runs in its own process: rounds of examples until the time is up, or the first finding."""
    faulthandler.enable()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)  # decoders complain about every file
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))

    def too_slow(signum, frame):
        raise Finding(f"not read within {seconds} s")

    signal.signal(signal.SIGALRM, too_slow)
    last = output / f"{name}.last"
    with tempfile.TemporaryDirectory() as folder:
        try:
            contents, read, documented = TARGETS[name](Path(folder))
        except Exception:
            (output / f"{name}.txt").write_text(traceback.format_exc())
            raise

        def example(content) -> None:
            last.write_bytes(pickle.dumps(content))
            signal.alarm(seconds)
            try:
                read(content)
            except documented:
                pass
            finally:
                signal.alarm(0)
            counter.value += 1

        for number in range(start, 2**31):
            if time.monotonic() > until:
                break
            test = settings(
                max_examples=EXAMPLES_PER_ROUND,
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )(seed(number)(given(contents)(example)))
            try:
                test()
            except BaseException:
                (output / f"{name}.txt").write_text(traceback.format_exc())
                last.rename(output / f"{name}.pickle")  # Hypothesis ends with the smallest example
                sys.exit(1)
    last.unlink(missing_ok=True)


def run(name: str, args: argparse.Namespace) -> bool:
    """Prints what was found; returns whether nothing was."""
    context = multiprocessing.get_context("fork")
    counter = context.Value("Q", 0, lock=False)
    until = time.monotonic() + args.minutes * 60
    options = (name, until, args.seconds, args.memory << 20, args.output, counter, args.seed)
    process = context.Process(target=fuzz, args=options)
    process.start()
    process.join(args.minutes * 60 + 120)
    is_hanging = process.is_alive()
    if is_hanging:
        process.kill()
        process.join()
    how = "hangs" if is_hanging else f"exit {process.exitcode}"
    found = (
        "nothing found" if process.exitcode == 0 else f"FOUND ({how}), see {args.output}/{name}.*"
    )
    print(f"{name}: {counter.value} files in {args.minutes:g} minutes: {found}", flush=True)
    return process.exitcode == 0


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    parser.add_argument("--minutes", type=float, default=10, help="minutes per target")
    parser.add_argument("--seconds", type=int, default=20, help="limit for one file")
    parser.add_argument("--memory", type=int, default=4096, help="MiB beyond what imports use")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first round")
    parser.add_argument("--output", type=Path, default=Path("output/fuzz"))
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    results = [run(name, args) for name in args.targets or TARGETS]
    sys.exit(not all(results))
