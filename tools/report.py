#!/usr/bin/env python3
"""Make one page to look at, from the results that evaluations have saved.

    tools/report.py output/fast output/roigan output/baselines --output output/report
    tools/report.py fast=output/run_7 rife=scores/ --output output/report --title "Run 7"

Every source is a folder with results.json somewhere below it (tools/train_net.py and
tools/evaluate.py baselines write them), and NAME=FOLDER names the method. The page opens from disk
(index.html), needs no network, and can be copied or zipped as a folder. Pictures come from the
frames that each evaluation has saved (TEST.NUM_SAVED), for the images that all methods of a dataset
share. tools/train_net.py writes the page of its own evaluation to OUTPUT_DIR/report.
"""

from argparse import Namespace
from pathlib import Path

from zoomin_d2.cli.tool_arguments import ToolParser, at_least
from zoomin_d2.evaluation import METRICS
from zoomin_d2.evaluation.report_inputs import (
    ShippedProposals,
    benchmark_costs,
    find_costs,
    roi_metrics,
)
from zoomin_d2.user_errors import one_line_errors
from zoomin_d2.visualization.report import find_scores, write_report


def main(args: Namespace) -> Path:
    scores = find_scores(args.sources)
    costs, time_label = find_costs(scores), ""
    if args.benchmark is not None:
        measured, time_label = benchmark_costs(args.benchmark)
        costs |= measured
    page = write_report(
        args.output,
        scores,
        METRICS,
        title=args.title,
        max_triplets=args.max_triplets,
        costs=costs,
        time_label=time_label,
        roi_metrics=roi_metrics(),
        propose=ShippedProposals(),
    )
    methods = {item.method for item in scores}
    datasets = {item.dataset for item in scores}
    print(f"{len(methods)} methods on {', '.join(sorted(datasets))}: {page}")
    return page


def make_parser() -> ToolParser:
    parser = ToolParser(__doc__)
    parser.add_argument("sources", nargs="+", metavar="[NAME=]FOLDER")
    parser.add_argument("--title", default="Interpolation report")
    parser.add_argument("--benchmark", type=Path, help="benchmark.json, to plot against time")
    parser.add_argument("--max-triplets", type=at_least(1), default=12, help="maximum per dataset")
    parser.add_output("output/report")
    return parser


if __name__ == "__main__":
    arguments = make_parser().parse_args()
    with one_line_errors(arguments.debug):
        main(arguments)
