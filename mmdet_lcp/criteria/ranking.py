"""Criteria that score every channel once and keep the largest."""

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

from mmdet_lcp.criteria.base import Criterion, Selection, largest
from mmdet_lcp.criteria.problem import Layer, SelectionProblem
from mmdet_lcp.errors import CompressionError


class RankingCriterion(Criterion):
    """Keeps the channels with the largest scores."""

    @abstractmethod
    def scores(self, problem: SelectionProblem) -> Tensor:
        """The score of each of the group's channels, (channels,); larger is more important.

        The same on every rank.
        """

    def select(self, problem: SelectionProblem, keep: int) -> Selection:
        """Pick the ``keep`` best channels; of equal scores the lower index.

        Raises:
            CompressionError: a score is not finite.
        """
        scores = self.scores(problem)
        if not torch.isfinite(scores).all():
            raise CompressionError(
                f'{problem.name}: the scores of its channels are not finite. Look for nan or inf '
                'in the weights of load_from; if there are none, the training has diverged: lower '
                'the learning rate, or check the data for broken boxes.'
            )
        return Selection(largest(scores, keep), scores.tolist())


def sum_by_channel(channels: int, parts: Iterable[tuple[Layer, Tensor]]) -> Tensor:
    """Add up the scores of several layers' channels.

    Args:
        channels: the group's number of channels.
        parts: layers, and for each a score by entry of its `index`.

    Returns:
        For each of the group's channels the sum over all layers and over all of a layer's
        channels that belong to it; (channels,), float64, on the CPU.
    """
    total = torch.zeros(channels, dtype=torch.float64)
    for layer, values in parts:
        total.index_add_(0, layer.root.cpu(), values.double().cpu())
    return total
