"""What criteria and updates see of one group of channels."""

from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.reconstruction import Reconstruction
from mmdet_lcp.pruning.problem.selection_batch import SelectionBatch
from mmdet_lcp.selection.loss_term import Candidate, LossTerm

__all__ = [
    'Candidate',
    'LossTerm',
    'Objective',
    'Reconstruction',
    'SelectionBatch',
    'SelectionProblem',
]
