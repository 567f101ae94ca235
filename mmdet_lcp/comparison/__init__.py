"""Every pruning method on the same detector, data and budget: cells, their configs, running."""

from .controls import CONTROLS
from .jobs import Child, Start, start_process
from .methods import Method, find_method, list_methods
from .plan import ComparisonPlan, Request, plan_comparison
from .run import run_comparison

__all__ = [
    'CONTROLS',
    'Child',
    'ComparisonPlan',
    'Method',
    'Request',
    'Start',
    'find_method',
    'list_methods',
    'plan_comparison',
    'run_comparison',
    'start_process',
]
