"""Norms of filters, by loops over NumPy arrays."""

import math

import numpy as np
import pytest
import torch
from producers import best, filters, make, three_producers
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import L1Norm, L2Norm


def by_hand(maps, p):
    scores = np.zeros(5)
    for k, weights, _ in filters(maps):
        scores[k] += sum(abs(w) ** p for w in weights.tolist())
    return scores ** (1 / p)


@pytest.mark.parametrize(('criterion', 'p'), [(L1Norm, 1), (L2Norm, 2)])
@pytest.mark.parametrize('paths', [['conv'], ['wide'], ['fc'], ['wide', 'conv', 'fc']])
def test_values_and_picks(criterion, p, paths):
    for seed in range(3):
        maps = {path: three_producers(seed)[path] for path in paths}
        before = {path: maps[path][0].weight.detach().clone() for path in paths}
        expected = by_hand(maps, p)
        for keep in range(1, 6):
            selection = criterion().select(make(maps, 5), keep)
            np.testing.assert_allclose(selection.scores, expected, rtol=1e-5)
            assert selection.keep == best(expected, keep)
        assert all(torch.equal(maps[path][0].weight, before[path]) for path in paths)


def test_the_two_norms_differ():
    layer = nn.Linear(4, 2)
    layer.weight.data = torch.tensor([[1.0, -1.0, 1.0, -1.0], [3.0, 0.0, 0.0, 0.0]])
    problem = make({'fc': (layer, [0, 1], [0, 1])}, 2)
    one, two = L1Norm().select(problem, 1), L2Norm().select(problem, 1)
    assert (one.keep, one.scores) == ([0], [4.0, 3.0])
    assert (two.keep, two.scores) == ([1], [2.0, 3.0])


def test_ties_go_to_the_lower_index():
    layer = nn.Linear(2, 4)
    layer.weight.data = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.5, 0.0], [-1.0, 0.0]])
    problem = make({'fc': (layer, [0, 1, 2, 3], [0, 1, 2, 3])}, 4)
    assert L1Norm().select(problem, 2).keep == [0, 1]
    assert L2Norm().select(problem, 3).keep == [0, 1, 3]


@pytest.mark.parametrize('criterion', [L1Norm, L2Norm])
@pytest.mark.parametrize('value', [math.nan, -math.inf])
def test_broken_weights(criterion, value):
    maps = three_producers()
    maps['wide'][0].weight.data[2, 0, 0, 1] = value
    with pytest.raises(CompressionError, match=r'some\.group: .*not finite'):
        criterion().select(make(maps, 5), 2)
