"""Which activation follows which layer, on a network that is read by eye."""

import torch
from torch import nn

from mmdet_lcp.measure.activations import activations_of


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2d(3, 4, 3, padding=1)
        self.normed = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.silu = nn.SiLU()
        self.twice = nn.Conv2d(4, 4, 1)
        self.relu = nn.ReLU(inplace=True)
        self.bare = nn.Conv2d(4, 2, 1)

    def forward(self, images):
        x = self.relu(self.plain(images))
        x = self.silu(self.norm(self.normed(x)))
        x = self.relu(self.twice(self.relu(self.twice(x))) + x)  # of a sum: no layer's
        return self.bare(x)


def test_by_path():
    torch.manual_seed(0)
    assert activations_of(Net().eval(), (8, 8)) == {
        'plain': 'relu',
        'normed': 'silu',
        'twice': 'relu',
    }
