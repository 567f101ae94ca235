"""Copies of models that have just been trained."""

import pytest
import torch
from torch import nn

from mmdet_lcp.copies import detached_copy


def test_what_a_step_has_left():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    found = net(torch.ones(4, 2))
    net[0].kept = {'outputs': [found, (found,)], 'none': None}
    other = detached_copy(net)
    one, (two,) = other[0].kept['outputs']
    assert one is two and one is not found
    assert torch.equal(one, found) and one.is_leaf and not one.requires_grad
    assert found.grad_fn is not None and net[0].kept['outputs'][0] is found
    assert isinstance(other[0].weight, nn.Parameter) and other[0].weight.requires_grad
    assert torch.equal(other[0].weight, net[0].weight) and other[0].weight is not net[0].weight


@pytest.mark.filterwarnings('ignore::FutureWarning')
@pytest.mark.parametrize('computed', [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_a_weight_that_is_computed(computed):
    net = nn.Sequential(computed(nn.Linear(2, 3)))
    net(torch.ones(1, 2))
    with pytest.raises(RuntimeError, match='deepcopy'):
        detached_copy(net)
