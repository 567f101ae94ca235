"""Filter norms: a filter with small weights makes a weak feature map, so it can go.

L1: Pruning Filters for Efficient ConvNets (Li et al., ICLR 2017, arXiv 1608.08710), which also
compares with L2; Soft Filter Pruning (He et al., IJCAI 2018, arXiv 1808.06866) takes L2.
"""

import torch
from torch import Tensor

from mmdet_lcp.pruning.criteria.ranking import RankingCriterion, sum_by_channel
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.registry import CRITERIA


def powers(layer: Layer, p: int) -> Tensor:
    """Sum of |w|^p over the weights of each filter, biases not among them; (len(index),)."""
    return layer.filters(layer.module.weight)[layer.index].abs().pow(p).sum(1)


def _scores(problem: SelectionProblem, p: int) -> Tensor:
    layers = problem.producers.values()
    return sum_by_channel(problem.channels, ((layer, powers(layer, p)) for layer in layers))


@CRITERIA.register_module()
class L1Norm(RankingCriterion):
    """S_k: sum of the absolute weights that write channel k."""

    @torch.no_grad()
    def scores(self, problem: SelectionProblem) -> Tensor:
        """S_k, (channels,), >= 0."""
        return _scores(problem, 1)


@CRITERIA.register_module()
class L2Norm(RankingCriterion):
    """S_k: Euclidean norm of the weights that write channel k."""

    @torch.no_grad()
    def scores(self, problem: SelectionProblem) -> Tensor:
        """S_k, (channels,), >= 0; of several producers, of all their filters together."""
        return _scores(problem, 2).sqrt()
