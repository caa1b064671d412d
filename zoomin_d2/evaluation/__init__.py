"""Metrics, baselines and the evaluator for interpolated frames."""

from zoomin_d2.evaluation.evaluator import InterpolationEvaluator
from zoomin_d2.evaluation.results import METRICS, format_results_table
from zoomin_d2.inference.baselines import BASELINES

__all__ = ["BASELINES", "METRICS", "InterpolationEvaluator", "format_results_table"]
