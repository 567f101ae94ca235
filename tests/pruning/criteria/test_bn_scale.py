"""Scales of batch norms, and the refusal where there are none."""

import math

import pytest
import torch
from producers import best, make, three_producers
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import find_groups
from mmdet_lcp.pruning.criteria import BNScale


def norm(values, kind=nn.BatchNorm2d):
    module = kind(len(values))
    module.weight.data = torch.tensor(values)
    nn.init.constant_(module.bias, 100.0)  # must not count
    return module


def test_values_and_picks():
    values = [0.5, -2.0, 0.0, 1.0, -0.25]
    problem = make(three_producers(), 5, {'bn': (norm(values), list(range(5)), list(range(5)))})
    for keep in range(1, 6):
        selection = BNScale().select(problem, keep)
        assert selection.scores == [0.5, 2.0, 0.0, 1.0, 0.25]
        assert selection.keep == best(selection.scores, keep)


def test_several_norms_add_up():
    norms = {
        'wide': (norm([9.0, 0.5, -1.0, 2.0]), [3, 1, 2], [0, 2, 1]),  # of other channels too
        'flat': (norm([1.0, -2.0, 4.0, 8.0, 16.0], nn.BatchNorm1d), [4, 0, 2, 3], [1, 1, 0, 2]),
        'plain': (nn.BatchNorm2d(3, affine=False), [0, 1, 2], [0, 1, 2]),
        'group': (norm([64.0] * 3, lambda n: nn.GroupNorm(3, n)), [0, 1, 2], [0, 1, 2]),
        'depthwise': (nn.Conv2d(3, 3, 3, groups=3), [0, 1, 2], [0, 1, 2]),
    }
    selection = BNScale().select(make({}, 3, norms), 2)
    assert selection.scores == [2 + 4, 1 + 16 + 1, 0.5 + 8]
    assert selection.keep == [1, 2]


class Net(nn.Module):
    """Convolutions, each with another norm behind."""

    def __init__(self, *norms):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if i == 0 else 4, 4, 1) for i in range(5))
        self.norms = nn.ModuleList(norms)

    def forward(self, x, mode='tensor'):
        for conv, norm in zip(self.convs, self.norms, strict=False):
            x = norm(conv(x)).relu()
        return self.convs[-1](x)


def test_refusal():
    net = Net(
        nn.BatchNorm2d(4), nn.Identity(), nn.BatchNorm2d(4, affine=False), nn.GroupNorm(2, 4)
    )
    groups = {group.name: group for group in find_groups(net, (4, 4))}
    assert sorted(groups) == [f'convs.{i}' for i in range(5)]
    BNScale().check(net, groups['convs.0'])
    for name in ('convs.1', 'convs.2', 'convs.3'):
        with pytest.raises(CompressionError, match=rf'^{name}: .* batch norm') as caught:
            BNScale().check(net, groups[name])
        assert 'another pruning.criterion' in str(caught.value)
        assert 'pruning.layers' in str(caught.value)


@pytest.mark.parametrize('norms', [{}, {'bn': (nn.BatchNorm2d(2, affine=False), [0, 1], [0, 1])}])
def test_no_scores_without_scales(norms):
    with pytest.raises(CompressionError, match=r'^some\.group: .* batch norm'):
        BNScale().select(make({}, 2, norms), 1)


def test_broken_scales():
    norms = {'bn': (norm([1.0, math.nan]), [0, 1], [0, 1])}
    with pytest.raises(CompressionError, match=r'some\.group: .*not finite'):
        BNScale().select(make({}, 2, norms), 1)
