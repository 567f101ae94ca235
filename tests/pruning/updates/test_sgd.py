"""Descent on L over the kernels that stay."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch
from mmdet_lcp.pruning.updates import SGDUpdate
from mmdet_lcp.registry import UPDATES


def problem_of(x, y, layer) -> SelectionProblem:
    batch = SelectionBatch({'fc': x}, {'fc': y}, None)
    width = x.shape[1]
    consumer = Layer(layer, torch.arange(width), torch.arange(width))
    return SelectionProblem('g', width, {'fc': consumer}, {}, BatchCache(lambda: [batch]))


def made():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    torch.manual_seed(0)
    layer = nn.Linear(5, 4).double()
    return x, layer(x).detach(), layer


def half_mean_square(x, y, weight, bias):
    return float(np.mean((x @ weight.T + bias - y) ** 2) / 2)


def test_one_step_by_hand():
    x, y, layer = made()
    weight, bias = layer.weight.detach().numpy().copy(), layer.bias.detach().numpy()
    log = SGDUpdate(lr=0.2, passes=1).apply(problem_of(x, y, layer), [0, 3])
    weight[:, [1, 2, 4]] = 0
    residual = x.numpy() @ weight.T + bias - y.numpy()
    gradient = residual.T @ x.numpy() / residual.size
    expected = weight - 0.2 * 1.9 * gradient  # Nesterov: g + 0.9 v, with v = g
    expected[:, [1, 2, 4]] = 0
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    before = half_mean_square(x.numpy(), y.numpy(), weight, bias)
    after = half_mean_square(x.numpy(), y.numpy(), expected, bias)
    assert after < before
    assert log == pytest.approx({'loss_before': before, 'loss_after': after}, rel=1e-9)


def test_many_steps_reach_least_squares():
    x, y, layer = made()
    bias = layer.bias.detach().clone()
    SGDUpdate(lr=1.0, passes=300).apply(problem_of(x, y, layer), [1, 2])
    solution, *_ = np.linalg.lstsq(x[:, [1, 2]].numpy(), (y - bias).numpy(), rcond=None)
    weight = layer.weight.detach().numpy()
    np.testing.assert_allclose(weight[:, [1, 2]].T, solution, atol=1e-7)
    assert not weight[:, [0, 3, 4]].any()
    assert torch.equal(layer.bias, bias)


def test_a_step_size_that_is_far_too_large_does_no_harm():
    x, y, layer = made()
    log = SGDUpdate(lr=1e6, passes=5).apply(problem_of(x, y, layer), [0])
    assert log['loss_after'] <= log['loss_before']
    assert torch.isfinite(layer.weight).all()


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (dict(lr=0), r'pruning\.update\.lr=0'),
        (dict(lr=-1.0), r'lr=-1\.0'),
        (dict(lr=math.nan), 'lr=nan'),
        (dict(lr=math.inf), 'lr=inf'),
        (dict(lr='1'), "lr='1'"),
        (dict(lr=None), 'lr=None'),
        (dict(passes=0), r'pruning\.update\.passes=0'),
        (dict(passes=1.5), r'passes=1\.5'),
        (dict(passes=True), 'passes=True'),
    ],
)
def test_values_out_of_range(keys, message):
    with pytest.raises(CompressionError, match=message):
        UPDATES.build(dict(type='SGDUpdate', **keys))
