"""Distances between filters, by loops over NumPy arrays."""

import math

import numpy as np
import pytest
import torch
from producers import best, filters, make, three_producers
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import FPGM


@pytest.mark.parametrize('paths', [['conv'], ['wide'], ['fc'], ['fc', 'conv', 'wide']])
def test_values_and_picks(paths):
    for seed in range(3):
        maps = {path: three_producers(seed)[path] for path in paths}
        expected = np.zeros(5)
        for k, weights, layer in filters(maps):  # the layer's other filters are not all ours
            expected[k] += sum(math.sqrt(((weights - other) ** 2).sum()) for other in layer)
        for keep in range(1, 6):
            selection = FPGM().select(make(maps, 5), keep)
            np.testing.assert_allclose(selection.scores, expected, rtol=1e-10)
            assert selection.keep == best(expected, keep)


def linear(*rows):
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight.data = torch.tensor(rows)
    index = list(range(len(rows)))
    return make({'fc': (layer, index, index)}, len(rows))


def test_filters_are_compared_as_they_are():
    """Not their squares or absolute values: a filter and its negative are far apart."""
    selection = FPGM().select(linear([3.0, 4.0], [-3.0, -4.0], [0.0, 0.0]), 2)
    assert selection.scores == [15.0, 15.0, 10.0]
    assert selection.keep == [0, 1]


def test_a_large_filter_amid_others_goes_first():
    selection = FPGM().select(linear([10.0], [9.0], [11.0], [0.1], [20.0]), 4)
    np.testing.assert_allclose(selection.scores, [21.9, 22.9, 22.9, 49.7 - 0.1, 49.9], rtol=1e-6)
    assert selection.keep == [1, 2, 3, 4]


def test_filters_that_are_nearly_the_same():
    torch.manual_seed(0)
    # So many that PyTorch would take distances in float32 from products, far off.
    rows = (1000 + 1e-3 * torch.randn(30, 4)).tolist()
    problem = linear(*rows)
    weights = problem.producers['fc'].module.weight.detach().double().numpy()
    expected = [sum(np.sqrt(((a - b) ** 2).sum()) for b in weights) for a in weights]
    np.testing.assert_allclose(FPGM().select(problem, 3).scores, expected, rtol=1e-10)


def test_broken_weights():
    maps = three_producers()
    maps['fc'][0].weight.data[4, 1] = math.inf
    with pytest.raises(CompressionError, match=r'some\.group: .*not finite'):
        FPGM().select(make(maps, 5), 2)
