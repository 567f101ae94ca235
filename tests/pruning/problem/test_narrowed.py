"""Layers without the channels whose kernels are zero, against the whole layer."""

import pytest
import torch
from torch import nn

from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.narrowed import columns_of, narrowed, output_of

STAY = torch.tensor([True, False, True])
# Channels 4, 2 and 0 of 5 belong to the group's 0, 1 and 2; 1 and 3 to other groups.
INDEX, ROOT = torch.tensor([4, 2, 0]), torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ('module', 'shape', 'dim'),
    [
        (nn.Conv2d(5, 4, 3, stride=2, padding=1), (2, 5, 7, 6), 1),
        (nn.Conv2d(5, 4, 3, padding='same', padding_mode='reflect', bias=False), (2, 5, 7, 6), 1),
        (nn.Linear(5, 4), (2, 3, 5), -1),
    ],
)
def test_the_same_outputs_and_gradients(module, shape, dim):
    module, x = module.double(), torch.randn(shape, dtype=torch.float64)
    columns = columns_of(Layer(module, INDEX, ROOT), STAY)
    assert columns.tolist() == [0, 1, 3, 4]
    weight = module.weight.detach().clone()
    weight[:, 2] = 0
    found, expected = weight.clone().requires_grad_(True), weight.clone().requires_grad_(True)
    outputs = [
        output_of(module, found, narrowed(module, x, columns), columns),
        output_of(module, expected, narrowed(module, x, None), None),
    ]
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    expected.grad[:, 2] = 0
    torch.testing.assert_close(found.grad, expected.grad)
    assert module.weight.grad is None
    # The layer itself, whose hooks and changed forward are its own.
    whole = output_of(module, module.weight, x, None)
    torch.testing.assert_close(whole, module(x))


class Own(nn.Conv2d):
    """May do anything with its inputs."""


@pytest.mark.parametrize(
    'module', [Own(5, 4, 1), nn.Conv2d(5, 5, 1, groups=5), nn.Conv2d(5, 4, 1)]
)
def test_layers_that_run_whole(module):
    everything = torch.ones(3, dtype=torch.bool)
    known = type(module) is nn.Conv2d and module.groups == 1
    assert (columns_of(Layer(module, INDEX, ROOT), STAY) is not None) == known
    assert columns_of(Layer(module, INDEX, ROOT), everything) is None
