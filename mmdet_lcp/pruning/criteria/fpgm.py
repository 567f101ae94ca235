"""FPGM: a filter near the geometric median of its layer is what the others can stand in for.

Filter Pruning via Geometric Median for Deep Convolutional Neural Networks Acceleration (He et
al., CVPR 2019, arXiv 1811.00250), equation 6.
"""

import torch
from torch import Tensor

from mmdet_lcp.pruning.criteria.ranking import RankingCriterion, sum_by_channel
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.registry import CRITERIA


@CRITERIA.register_module()
class FPGM(RankingCriterion):
    """S_k: sum of the Euclidean distances between filter k and all other filters of its layer."""

    @torch.no_grad()
    def scores(self, problem: SelectionProblem) -> Tensor:
        """S_k, (channels,), >= 0; over several producers the sum."""
        return sum_by_channel(
            problem.channels, ((layer, distances(layer)) for layer in problem.producers.values())
        )


def distances(layer: Layer) -> Tensor:
    """Sum of each filter's distances to all filters of its layer, (len(index),), float64.

    Not by Torch-Pruning's `FPGMImportance`, which raises the weights to a power first.
    """
    filters = layer.filters(layer.module.weight).double()
    # By differences: |a|^2 + |b|^2 - 2ab cancels where filters are alike.
    found = torch.cdist(filters[layer.index], filters, compute_mode='donot_use_mm_for_euclid_dist')
    groups = getattr(layer.module, 'groups', 1)
    if groups > 1:  # filters of different groups read different channels: they are orthogonal
        squares = filters.square().sum(1)
        number = torch.arange(len(filters), device=filters.device) // (len(filters) // groups)
        apart = (squares[layer.index, None] + squares).sqrt()
        found = torch.where(number[layer.index, None] == number, found, apart)
    return found.sum(1)
