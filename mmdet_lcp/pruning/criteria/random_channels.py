"""Random channels: the control that every criterion has to beat.

Mittal et al., Recovering from Random Pruning (WACV 2018, arXiv 1801.10447), find that it is often
not far behind.
"""

import torch
from torch import Tensor

from mmdet_lcp.pruning.criteria.ranking import RankingCriterion
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.registry import CRITERIA


@CRITERIA.register_module()
class RandomChannels(RankingCriterion):
    """S_k: drawn from the problem's seed, whatever was drawn before."""

    comparable = True

    def scores(self, problem: SelectionProblem) -> Tensor:
        """S_k, (channels,), uniform in [0, 1)."""
        generator = torch.Generator().manual_seed(problem.seed)  # on the CPU: alike on every rank
        return torch.rand(problem.channels, generator=generator, dtype=torch.float64)
