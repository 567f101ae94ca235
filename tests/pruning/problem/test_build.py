"""Outputs and metrics of layers that have lost channels."""

import torch
from torch import nn

from mmdet_lcp.graph import Kept, Plan
from mmdet_lcp.pruning.problem.build import present_metrics, present_outputs


def test_what_is_left_of_outputs_and_metrics():
    dense = nn.ModuleDict({'a': nn.Linear(2, 4), 'b': nn.Conv2d(2, 3, 1), 'c': nn.Linear(1, 1)})
    plan = Plan({'a': {'out_channels': Kept(4, (0, 3))}, 'b': {'in_channels': Kept(2, (1,))}})
    outputs = present_outputs(['a', 'b'], dense, plan)
    assert {path: kept.tolist() for path, kept in outputs.items()} == {'a': [0, 3]}
    metrics = {'a': torch.arange(16.0).view(4, 4), 'c': torch.ones(1, 1)}
    found = present_metrics(metrics, ['a', 'b'], outputs)
    assert {path: metric.tolist() for path, metric in found.items()} == {
        'a': [[0.0, 3.0], [12.0, 15.0]]
    }
    assert metrics['a'].shape == (4, 4)
    whole = present_metrics(metrics, ['a', 'c'], {})
    assert whole['a'] is metrics['a'] and list(whole) == ['a', 'c']
