"""Saved results of evaluations go in; one folder with a page to look at comes out."""

from zoomin_d2.visualization.report.page import write_report
from zoomin_d2.visualization.report.scores import Scores, find_scores

__all__ = ["Scores", "find_scores", "write_report"]
