"""Axes of a layer's weight, written out."""

import torch
from torch import nn

from mmdet_lcp.pruning.problem.layer import Layer


def layer(module, norm=None):
    return Layer(module, torch.arange(2), torch.arange(2), norm)


def test_axes():
    conv, up, fc = nn.Conv2d(2, 3, 5), nn.ConvTranspose2d(2, 3, 5), nn.Linear(2, 3)
    assert [layer(module).input_dim for module in (conv, up, fc)] == [1, 0, 1]
    for module in (conv, up, fc):
        assert layer(module).filters(module.weight).shape == (3, module.weight.numel() // 3)
    assert torch.equal(layer(up).filters(up.weight)[1], up.weight[:, 1].flatten())
    assert torch.equal(layer(conv).filters(conv.weight)[1], conv.weight[1].flatten())


def test_intercept():
    norm = nn.BatchNorm2d(3)
    assert layer(nn.Conv2d(2, 3, 1)).intercept
    assert layer(nn.Conv2d(2, 3, 1, bias=False), norm).intercept
    assert not layer(nn.Conv2d(2, 3, 1, bias=False)).intercept
