"""Every pruning method on the same detector, data and budget: cells, their configs, running."""

from mmdet_lcp.comparison.controls import CONTROLS
from mmdet_lcp.comparison.jobs import Child, Start, start_process
from mmdet_lcp.comparison.methods import PEERS, Method, find_method, list_methods
from mmdet_lcp.comparison.plan import ComparisonPlan, plan_comparison
from mmdet_lcp.comparison.request import Request
from mmdet_lcp.comparison.run import run_comparison

__all__ = [
    'CONTROLS',
    'PEERS',
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
