"""The control changes nothing."""

import torch
from torch import nn

from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache
from mmdet_lcp.pruning.updates import NoUpdate
from mmdet_lcp.registry import UPDATES


def test_nothing_changes():
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()

    def never():
        raise AssertionError('the selection set is not needed')

    consumer = Layer(layer, torch.arange(3), torch.arange(3))
    problem = SelectionProblem('g', 3, {'fc': consumer}, {}, BatchCache(never))
    assert UPDATES.build(dict(type='NoUpdate')).apply(problem, [1]) == {}
    assert torch.equal(layer.weight, before)
    assert isinstance(UPDATES.build(dict(type='NoUpdate')), NoUpdate)
