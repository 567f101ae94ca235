"""A layer that computes its kernel from all of its weights: it stays, and what it reads stays."""

import pytest
import torch
from mmcv.cnn import ConvWS2d
from torch import nn

from mmdet_lcp.graph import find_groups
from mmdet_lcp.graph.layer_kinds import kind_of
from mmdet_lcp.graph.layer_kinds.unknown import Unknown


class Net(nn.Module):
    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1)
        self.middle = middle
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, images):
        return self.last(self.middle(self.first(images)))


class Halved(nn.Linear):
    def forward(self, rows):
        return nn.functional.linear(rows, self.weight / self.weight.norm())


@pytest.mark.parametrize('module', [ConvWS2d(8, 8, 1), Halved(8, 8)])
def test_its_kind(module):
    kind = kind_of(module)
    assert isinstance(kind, Unknown) and not kind.known


@pytest.mark.parametrize('module', [nn.Conv2d(8, 8, 1), nn.Linear(8, 8)])
def test_layers_that_are_known(module):
    assert not isinstance(kind_of(module), Unknown)


def test_its_inputs_stay_and_its_outputs_too():
    torch.manual_seed(0)
    groups = {group.name: group for group in find_groups(Net(ConvWS2d(8, 8, 1)), (4, 4))}
    words = 'middle is a ConvWS2d, which computes its kernel from all of its weights'
    assert words in groups['first'].obstacle
    assert 'middle' not in groups
    plain = {group.name: group for group in find_groups(Net(nn.Conv2d(8, 8, 1)), (4, 4))}
    assert plain['first'].obstacle is None and plain['middle'].obstacle is None
