"""Metrics, baselines and the evaluator for interpolated frames."""

from zoomin_d2.evaluation.baselines import BASELINES
from zoomin_d2.evaluation.interpolation_evaluation import InterpolationEvaluator
from zoomin_d2.evaluation.results import METRICS, format_results_table

__all__ = ["BASELINES", "METRICS", "InterpolationEvaluator", "format_results_table"]
