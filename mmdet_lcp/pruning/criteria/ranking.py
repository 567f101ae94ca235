"""Criteria that score every channel once and keep the largest."""

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria.base import Criterion, Selection, largest, shares_of_the_rest
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem


class RankingCriterion(Criterion):
    """Keeps the channels with the largest scores.

    Attributes:
        comparable: whether scores of different groups are on one scale and add up. Otherwise
            removals cost their `shares_of_the_rest`, once for each layer that writes the group:
            each of them loses that share of its filters.
    """

    comparable: bool = False

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
        check_finite(problem, scores)
        return Selection(largest(scores, keep), scores.tolist())

    def removal_costs(self, problem: SelectionProblem, least: int) -> Tensor:
        """The scores, the smallest first; see `comparable`."""
        scores = self.scores(problem)
        check_finite(problem, scores)
        if self.comparable:
            costs = scores.sort().values
        else:
            costs = shares_of_the_rest(scores) * max(len(problem.producers), 1)
        return costs[: problem.channels - least]


def check_finite(problem: SelectionProblem, scores: Tensor) -> None:
    """Raise a CompressionError unless all scores are finite."""
    if not torch.isfinite(scores).all():
        raise CompressionError(
            f'{problem.name}: the scores of its channels are not finite. Look for nan or inf in '
            'the weights of load_from; if there are none, the training has diverged: lower the '
            'learning rate, or check the data for broken boxes.'
        )


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
