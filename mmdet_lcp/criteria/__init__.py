"""Criteria score the channels of a group, or pick them; one paper a file."""

from .base import Criterion, Selection, largest
from .lcp import LCP
from .problem import Objective, SelectionBatch, SelectionProblem

__all__ = [
    'LCP',
    'Criterion',
    'Objective',
    'Selection',
    'SelectionBatch',
    'SelectionProblem',
    'largest',
]
