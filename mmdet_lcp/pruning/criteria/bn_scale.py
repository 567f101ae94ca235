"""Batch-norm scales: a channel that its batch norm scales to almost nothing can go.

Learning Efficient Convolutional Networks through Network Slimming (Liu et al., ICCV 2017, arXiv
1708.06519). The paper also trains with an L1 penalty on the scales before; here they are taken
as the detector has them.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.pruning.criteria.ranking import RankingCriterion, sum_by_channel
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.registry import CRITERIA


@CRITERIA.register_module()
class BNScale(RankingCriterion):
    """S_k: absolute scale gamma_k of the batch norm behind; over several batch norms the sum.

    The paper ranks the channels of all layers together by it. There the penalty has weighed the
    layers' scales against each other; without it they are comparable inside a layer alone.
    """

    def check(self, detector: nn.Module, group: ChannelGroup) -> None:
        """Look for a batch norm.

        Raises:
            CompressionError: the group has none with learnable scales.
        """
        _require(group.name, (detector.get_submodule(member.path) for member in group.norms))

    @torch.no_grad()
    def scores(self, problem: SelectionProblem) -> Tensor:
        """S_k, (channels,), >= 0."""
        _require(problem.name, (layer.module for layer in problem.norms.values()))
        return sum_by_channel(
            problem.channels,
            (
                (layer, layer.module.weight[layer.index].abs())
                for layer in problem.norms.values()
                if _has_scales(layer.module)
            ),
        )


def _has_scales(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and module.affine


def _require(group: str, norms: Iterable[nn.Module]) -> None:
    if not any(_has_scales(module) for module in norms):
        raise CompressionError(
            f'{group}: the criterion BNScale needs a batch norm with learnable scales '
            '(affine=True) behind the layer, and there is none. Use another '
            'pruning.criterion.type, or leave this group out of pruning.layers.'
        )
