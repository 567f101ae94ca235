"""What criteria and updates see of one group of channels."""

from mmdet_lcp.pruning.problem.problem import Objective, SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import SelectionBatch

__all__ = ['Objective', 'SelectionBatch', 'SelectionProblem']
