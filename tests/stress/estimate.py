"""Compare what --estimate predicts with what the job then takes, on three real clips.

    python -m tests.stress estimate                # about three minutes on two cores
    python -m tests.stress estimate --model fast --preview 2s

Each clip is estimated and then made, each by a process of its own. Time, peak memory, and the size
of the output must be predicted within --limit; the exit code is 1 if one is not. Other work on the
machine changes the time between the two.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

from zoomin_d2.data.datasets.sample_clips import find_sample_videos

CLIPS = ("carphone_pristine.mp4", "bikes.mp4", "bigbuckbunny.mp4")  # 144, 272 and 720 lines
COMMAND = "import sys; from zoomin_d2.cli.interpolate_video import main; sys.exit(main())"


def run(arguments: list[str]) -> tuple[dict, int]:
    """The last line of --json, and the peak memory of the process in bytes."""
    command = [sys.executable, "-c", COMMAND, *arguments, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = process.stdout.read().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not lines:
        sys.exit(f"{' '.join(arguments)}: exit code {process.returncode}")
    return json.loads(lines[-1]), usage.ru_maxrss * 1024


def compare(clip: Path, options: list[str]) -> list[dict]:
    """Predicted and true time, memory and size of one clip."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out.mp4")
        predicted, _ = run([str(clip), str(output), "--estimate", *options])
        done, memory = run([str(clip), str(output), *options])
        true = {"seconds": done["seconds"], "memory": memory, "size": output.stat().st_size}
    return [
        {"clip": clip.name, "what": what, "predicted": predicted[what], "true": value}
        for what, value in true.items()
    ]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="dis")
    parser.add_argument("--preview", default="", help="only this much of each clip")
    parser.add_argument("--limit", type=float, default=0.3, help="largest relative error")
    args = parser.parse_args(argv)
    options = ["--model", args.model, *(["--preview", args.preview] if args.preview else [])]
    found = {Path(path).name: Path(path) for path in find_sample_videos("datasets")}
    rows = [row for name in CLIPS for row in compare(found[name], options)]
    for row in rows:
        row["ratio"] = row["predicted"] / row["true"]
    print(tabulate(rows, headers="keys", floatfmt=".3g"))
    wrong = [row for row in rows if abs(row["ratio"] - 1) > args.limit]
    print(f"{len(rows) - len(wrong)} of {len(rows)} within {args.limit:.0%}")
    sys.exit(1 if wrong else 0)
