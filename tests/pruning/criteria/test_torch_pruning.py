"""Norms of filters and scales of batch norms are Torch-Pruning's importances, on its own graph."""

import pytest
import torch
import torch_pruning as tp
from producers import make
from torch import nn
from torch_pruning.pruner.importance import BNScaleImportance, GroupMagnitudeImportance

from mmdet_lcp.pruning.criteria import BNScale, L1Norm, L2Norm

CHANNELS = 6


class Net(nn.Module):
    """A layer of any kind, with a batch norm where there can be one, and one that reads it."""

    def __init__(self, layer: nn.Module, inputs: torch.Tensor) -> None:
        super().__init__()
        self.layer, self.inputs = layer, inputs
        flat = inputs.dim() == 2
        self.norm = nn.Identity() if flat else nn.BatchNorm2d(CHANNELS)
        self.last = nn.Linear(CHANNELS, 2) if flat else nn.Conv2d(CHANNELS, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.layer(x)))


NETS = {
    'conv': lambda: Net(nn.Conv2d(3, CHANNELS, 3), torch.zeros(1, 3, 8, 8)),
    'transposed': lambda: Net(nn.ConvTranspose2d(3, CHANNELS, 2), torch.zeros(1, 3, 8, 8)),
    'linear': lambda: Net(nn.Linear(4, CHANNELS), torch.zeros(2, 4)),
}


def library(net: Net, importance, root: nn.Module) -> torch.Tensor:
    """What the library says of the channels of a group that it has traced."""
    graph = tp.DependencyGraph().build_dependency(net, net.inputs, verbose=False)
    prune = graph.get_pruner_of_module(root).prune_out_channels
    return importance(graph.get_pruning_group(root, prune, list(range(CHANNELS))))


@pytest.mark.parametrize(('criterion', 'p'), [(L1Norm(), 1), (L2Norm(), 2)])
@pytest.mark.parametrize('kind', NETS)
def test_filter_norms(kind, criterion, p):
    torch.manual_seed(0)
    net = NETS[kind]()
    # 'first': of the layer that writes the channels alone, as the papers have it.
    importance = GroupMagnitudeImportance(p=p, group_reduction='first', normalizer=None)
    expected = library(net, importance, net.layer) ** (1 / p)
    indices = list(range(CHANNELS))
    found = criterion.scores(make({'layer': (net.layer, indices, indices)}, CHANNELS))
    torch.testing.assert_close(found.float(), expected)
    assert not found.requires_grad and expected.std() > 0


def test_scales():
    torch.manual_seed(0)
    net = NETS['conv']()
    nn.init.normal_(net.norm.weight)
    expected = library(net, BNScaleImportance(group_reduction='first', normalizer=None), net.norm)
    indices = list(range(CHANNELS))
    found = BNScale().scores(make({}, CHANNELS, {'norm': (net.norm, indices, indices)}))
    torch.testing.assert_close(found.float(), expected)
    assert not found.requires_grad and expected.std() > 0
