"""Ranking, and the sum over layers that write the same channels."""

import math

import pytest
import torch
from producers import make
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import RankingCriterion
from mmdet_lcp.pruning.criteria.ranking import sum_by_channel
from mmdet_lcp.pruning.problem.layer import Layer


class Given(RankingCriterion):
    def __init__(self, *scores):
        self.given = torch.tensor(scores)

    def scores(self, problem):
        return self.given


@pytest.mark.parametrize(
    ('keep', 'expected'), [(1, [3]), (2, [1, 3]), (3, [0, 1, 3]), (4, [0, 1, 2, 3])]
)
def test_the_largest_stay(keep, expected):
    selection = Given(0.5, 2.0, -1.0, 3.0).select(make({}, 4), keep)
    assert selection.keep == expected
    assert selection.scores == [0.5, 2.0, -1.0, 3.0]
    assert selection.log == {}


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite(value):
    with pytest.raises(CompressionError, match=r'some\.group: the scores .* are not finite'):
        Given(1.0, value, 2.0).select(make({}, 3), 1)


def test_sum_by_channel():
    def layer(*root):
        return Layer(nn.Identity(), torch.arange(len(root)), torch.tensor(root))

    parts = [
        (layer(2, 0, 1), torch.tensor([1.0, 20.0, 300.0])),
        (layer(1, 1, 0, 1), torch.tensor([1e3, 2e3, 4e4, 5e5], dtype=torch.float64)),
    ]
    found = sum_by_channel(4, parts)
    assert found.tolist() == [40_020.0, 503_300.0, 1.0, 0.0]
    assert found.dtype == torch.float64
    # In float32 the small one would be lost.
    many = [(layer(0), torch.tensor([2.0**25])), (layer(0), torch.tensor([1.0]))]
    assert sum_by_channel(1, many).tolist() == [2.0**25 + 1]
