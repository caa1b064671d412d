"""Run in a process of its own by test_without_detectron2.py: what works, printed as JSON.

Nothing that only training needs can be imported here, nor what Windows has not.
"""

import contextlib
import io
import json
import os
import runpy
import sys
import threading
from pathlib import Path

import av
import numpy as np

BLOCKED = ("detectron2", "fvcore", "iopath", "pycocotools", "tensorboard", "torchvision", "yacs")
EXPORT = Path(__file__).parents[2] / "tools/export_model.py"
POSIX_ONLY = ("fcntl", "grp", "pwd", "resource", "termios")
for name in (*BLOCKED, *POSIX_ONLY, "matplotlib", "jinja2"):
    sys.modules[name] = None  # type: ignore[assignment]


def forbid(*_, **__):
    raise AssertionError("no system but POSIX can fork")


os.fork = forbid  # type: ignore[assignment]


def write_clip(path: Path, num_frames: int = 6) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(num_frames):
            image = np.full((48, 64, 3), 40 + 4 * i, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        out.mux(stream.encode())


def use_models() -> dict:
    from zoomin_d2 import Interpolator

    model = Interpolator.from_pretrained("fast", device="cpu")
    frames = [np.full((40, 56, 3), value, np.uint8) for value in (50, 150)]
    middle = model(*frames)
    return {"shape": middle.shape, "names": Interpolator.available()}


def use_command(clip: Path, output: Path, *options: str) -> dict:
    from zoomin_d2.cli.interpolate_video import main

    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        code = main([str(clip), str(output), *options])
    return {"code": code, "errors": errors.getvalue()}


def use_video(clip: Path, output: Path) -> dict:
    from zoomin_d2 import Interpolator
    from zoomin_d2.video import Target, interpolate_video

    model = Interpolator.from_pretrained("average")
    return {"frames": interpolate_video(clip, output, model, Target(multi=3)).output_frames}


def use_app(clip: Path, folder: Path) -> dict:
    from zoomin_d2.cli.app import jobs, page
    from zoomin_d2.cli.app.job_queue import JobQueue

    folder.mkdir()
    choices = jobs.Choices(jobs.make_target(jobs.SMOOTHER, 2), "average")
    stop = threading.Event()
    result = jobs.interpolate_clip(
        clip, None, choices, jobs.Limits(), folder, lambda *_: None, stop
    )
    words, _ = jobs.describe(result.report)
    sys.modules["gradio"] = None  # type: ignore[assignment]
    try:
        with JobQueue() as queue:
            page.build_app(queue)
    except ModuleNotFoundError as error:
        return {"words": words, "page": str(error)}
    return {"words": words}


def use_export(output: Path, kind: str) -> dict:
    words = ["zoo:fast", "--output", str(output), "--format", kind]
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        sys.argv[1:], kept = words, sys.argv[1:]
        try:
            runpy.run_path(str(EXPORT), run_name="__main__")
        except SystemExit:
            pass
        finally:
            sys.argv[1:] = kept
    return {"files": output.exists(), "errors": errors.getvalue()}


def train() -> str:
    try:
        from zoomin_d2 import get_zoomin_cfg

        get_zoomin_cfg()
    except ModuleNotFoundError as error:
        return str(error)
    return ""


def import_trainer() -> str:
    try:
        import zoomin_d2.engine  # noqa: F401
    except ModuleNotFoundError as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    clip = folder / "clip.mp4"
    write_clip(clip)
    results = {
        "models": use_models(),
        "command": use_command(clip, folder / "out.mp4", "--device", "cpu"),
        "video": use_video(clip, folder / "video.mp4"),
        "app": use_app(clip, folder / "results"),
        "config_imported": "zoomin_d2.config" in sys.modules,
        "proposals": use_command(clip, folder / "drawn.mp4", "--draw-proposals"),
        "exported": use_export(folder / "fast.pt", "torchscript"),
        "not_exported": use_export(folder / "fast.safetensors", "safetensors"),
        "train": train(),
        "engine": import_trainer(),
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
