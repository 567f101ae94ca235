"""Masks against NumPy's order of magnitudes."""

import numpy as np
import pytest
import torch
from torch import nn

from mmdet_lcp.transforms import ElementMask, attach, fold, mask_by_quality, mask_by_sparsity


@pytest.mark.parametrize('sparsity', [0.0, 0.25, 0.5, 0.9, 1.0])
def test_the_smallest_magnitudes_go(sparsity):
    weight = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    mask = mask_by_sparsity(weight, sparsity)
    order = np.argsort(np.abs(weight.numpy().ravel()), kind='stable')
    expected = np.ones(20, bool)
    expected[order[: int(np.floor(sparsity * 20 + 0.5))]] = False
    assert np.array_equal(mask.numpy().ravel(), expected)


def test_ties_do_not_change_the_number():
    assert int(mask_by_sparsity(torch.ones(10), 0.3).sum()) == 7


def test_quality_is_in_standard_deviations():
    weight = torch.randn(1000, generator=torch.Generator().manual_seed(2))
    mask = mask_by_quality(weight, 1.5)
    values = weight.numpy()
    assert np.array_equal(mask.numpy(), np.abs(values) >= 1.5 * values.std())


def test_masked_weights_are_zero_and_get_no_gradient():
    layer = nn.Linear(4, 3)
    mask = mask_by_sparsity(layer.weight, 0.5)
    before = layer.weight.detach().clone()
    attach(layer, ElementMask(mask))
    x = torch.randn(2, 4)
    assert torch.allclose(layer(x), nn.functional.linear(x, before * mask, layer.bias))
    layer(x).square().sum().backward()
    gradient = layer.parametrizations.weight.original.grad
    assert (gradient[~mask] == 0).all() and (gradient[mask] != 0).all()
    assert layer.parametrizations.weight[0].sparsity == pytest.approx(0.5)
    fold(layer)
    assert type(layer) is nn.Linear and torch.equal(layer.weight, before * mask)
