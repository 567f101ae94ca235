"""Stages of several methods, laid out one behind the other."""

import copy

import pytest
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.weight_compression.job import WeightCompressionJob


class Method:
    """Stages that only have layers."""

    def __init__(self, scheme, layers, left=()):
        self.scheme, self._layers, self._left = scheme, layers, left

    def stages(self, detector, where):
        if not self._layers:
            raise CompressionError(f'{where}: nothing is left')
        stages = [type('Stage', (), {'layers': layers})() for layers in self._layers]
        return stages, [Skipped(name, f'{self.scheme} leaves it') for name in self._left]


class Config:
    def __init__(self, **methods):
        self.methods = methods


def lay_out(**methods) -> WeightCompressionJob:
    net = nn.Linear(2, 2)
    return WeightCompressionJob.lay_out(net, copy.deepcopy(net), (8, 8), Config(**methods))


def test_methods_follow_one_another():
    job = lay_out(
        a=Method('pruned', [['x'], ['x', 'y']], left=['y', 'z']),
        b=Method('shared', [['y']], left=['x', 'w']),
    )
    assert [stage.layers for stage in job.stages] == [['x'], ['x', 'y'], ['y']]
    assert job.schemes == {'x': 'pruned', 'y': 'pruned; shared'}
    # what any method changes is not left alone, whatever another one says of it
    assert job.skipped == [Skipped('z', 'pruned leaves it'), Skipped('w', 'shared leaves it')]


def test_a_method_without_layers_names_its_key():
    with pytest.raises(CompressionError, match=r'weight_compression\.methods\.b: nothing'):
        lay_out(a=Method('pruned', [['x']]), b=Method('shared', []))
