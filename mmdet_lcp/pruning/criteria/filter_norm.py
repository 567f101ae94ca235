"""Filter norms: a filter with small weights makes a weak feature map, so it can go.

L1: Pruning Filters for Efficient ConvNets (Li et al., ICLR 2017, arXiv 1608.08710), which also
compares with L2; Soft Filter Pruning (He et al., IJCAI 2018, arXiv 1808.06866) takes L2.
"""

from torch import Tensor
from torch_pruning.pruner.importance import GroupMagnitudeImportance

from mmdet_lcp.pruning.criteria.ranking import RankingCriterion, sum_by_channel
from mmdet_lcp.pruning.criteria.torch_pruning_group import output_scores
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.registry import CRITERIA


def _powers(problem: SelectionProblem, p: int) -> Tensor:
    """Sum of |w|^p over all weights that write a channel, biases not among them; (channels,)."""
    importance = GroupMagnitudeImportance(p=p, group_reduction='first', normalizer=None)
    return sum_by_channel(
        problem.channels,
        ((layer, output_scores(importance, layer)) for layer in problem.producers.values()),
    )


@CRITERIA.register_module()
class L1Norm(RankingCriterion):
    """S_k: sum of the absolute weights that write channel k."""

    def scores(self, problem: SelectionProblem) -> Tensor:
        """S_k, (channels,), >= 0."""
        return _powers(problem, 1)


@CRITERIA.register_module()
class L2Norm(RankingCriterion):
    """S_k: Euclidean norm of the weights that write channel k."""

    def scores(self, problem: SelectionProblem) -> Tensor:
        """S_k, (channels,), >= 0; of several producers, of all their filters together."""
        return _powers(problem, 2).sqrt()
