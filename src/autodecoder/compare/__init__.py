"""Comparison with other methods under equal conditions."""

from autodecoder.compare.comparison import compare_methods
from autodecoder.compare.result import Comparison, Difference, Row, Score
from autodecoder.compare.work import Placed

__all__ = ["Comparison", "Difference", "Placed", "Row", "Score", "compare_methods"]
