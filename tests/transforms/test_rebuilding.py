"""Transforms go through a file as plain data, and back."""

import io

import torch
from torch import nn

from mmdet_lcp.transforms import describe, rebuild


def test_described_and_rebuilt_through_a_file(model):
    model(torch.randn(2, 3, 8, 8))  # moves the statistics
    model[2].bias.requires_grad_(False)
    file = io.BytesIO()
    torch.save([describe(model), model.state_dict()], file)
    file.seek(0)
    described, weights = torch.load(file, weights_only=True)
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    rebuild(other, described, weights)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(other.eval()(x), model.eval()(x))
    assert describe(other) == described
    assert not other[2].bias.requires_grad and other[2].input_transform.norm.bias.requires_grad
