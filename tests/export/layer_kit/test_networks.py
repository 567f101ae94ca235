"""The networks of a kit: a layer, and what stands around it."""

import gzip

import numpy as np
import torch
from layer_shapes import shape_of
from torch import nn

from mmdet_lcp.export.layer_kit import bench_of, bracket_of


def test_a_layer_stands_between_two_of_one_position():
    layer = nn.Conv2d(16, 32, 3, stride=2, padding=1)
    bench = bench_of(shape_of(layer, 12, 10, activation='silu'), 12, 20)
    kinds = [type(module).__name__ for module in bench.network]
    assert kinds == ['Conv2d', 'Conv2d', 'SiLU', 'Conv2d']
    widths = [(m.in_channels, m.out_channels) for m in bench.network if hasattr(m, 'weight')]
    assert widths == [(8, 12), (12, 20), (20, 8)]
    assert bench.input == (1, 8, 12, 10)
    assert bench.brackets == ((12, 12, 10), (20, 6, 5))
    assert bench.network(torch.zeros(bench.input)).shape == (1, 8, 6, 5)


def test_a_cheap_one_that_keeps_its_shape_runs_several_times():
    layer = nn.Conv2d(16, 16, 3, padding=1, groups=16)
    bench = bench_of(shape_of(layer, 9, 9, activation='relu'), 1, 12)
    depthwise = [m for m in bench.network if getattr(m, 'groups', 1) > 1]
    assert [m.groups for m in depthwise] == [12] * bench.repeats and bench.repeats > 1
    dear = nn.Conv2d(512, 512, 3, padding=1)
    assert bench_of(shape_of(dear, 38, 38), 512, 512).repeats == 1


def test_a_linear_layer():
    bench = bench_of(shape_of(nn.Linear(6, 4), 7), 5, 3)
    assert bench.input == (1, 1, 7, 5)
    assert bench.network(torch.zeros(bench.input)).shape == (7, 3)


def test_weights_differ_and_pack_well():
    network = bracket_of(512, 4, 4).network
    weight = network[0].weight.detach().numpy()
    assert len(np.unique(weight)) > 200
    assert len(gzip.compress(weight.tobytes())) < weight.nbytes / 8
