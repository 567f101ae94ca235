"""Transforms on a layer's weight, put on and folded away."""

import copy

import torch
from torch import nn

from mmdet_lcp.transforms.attach import attach, fold, transforms_of


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, weight):
        return self.factor * weight


def changed() -> tuple[nn.Sequential, torch.Tensor]:
    """Two layers, of which the first reads its weight three times twice as large."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    before = model[0].weight.detach().clone()
    attach(model[0], Times(2.0))
    attach(model[0], Times(3.0))
    return model, before


def test_in_the_order_in_which_they_were_put_on():
    model, before = changed()
    assert [transform.factor for transform in transforms_of(model[0])] == [2.0, 3.0]
    assert transforms_of(model[1]) == []
    torch.testing.assert_close(model[0].weight, 6 * before)


def test_folded_layers_are_plain_and_compute_the_same():
    model, before = changed()
    x = torch.randn(4, 3)
    expected = model(x)
    assert fold(model) is model
    assert transforms_of(model[0]) == [] and type(model[0]) is nn.Linear
    assert set(model.state_dict()) == {'0.weight', '0.bias', '1.weight', '1.bias'}
    torch.testing.assert_close(model[0].weight.detach(), 6 * before)
    assert torch.equal(model(x), expected)


def test_folding_a_copy_leaves_the_original():
    model, before = changed()
    fold(copy.deepcopy(model))
    assert len(transforms_of(model[0])) == 2
    torch.testing.assert_close(model[0].weight, 6 * before)
    model[0].weight.sum().backward()
    gradient = model[0].parametrizations.weight.original.grad
    torch.testing.assert_close(gradient, torch.full((2, 3), 6.0))
