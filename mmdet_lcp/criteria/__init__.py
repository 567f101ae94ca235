"""Criteria score the channels of a group, or pick them; one paper a file."""

from .backward_elimination import BackwardElimination
from .base import Criterion, Selection, largest
from .lcp import LCP
from .problem import Objective, SelectionBatch, SelectionProblem

__all__ = [
    'LCP',
    'BackwardElimination',
    'Criterion',
    'Objective',
    'Selection',
    'SelectionBatch',
    'SelectionProblem',
    'largest',
]
