"""What can be pruned by a Python call, and what cannot."""

import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.network import check_network, copied


def small(**kwargs) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1, **kwargs), nn.ReLU(), nn.Conv2d(4, 2, 1))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x, y, scale=1.0):
        return self.conv(x) + self.conv(y) * scale


def compiled() -> nn.Module:
    """As torch.compile returns it, which takes seconds to import."""
    outer = nn.Module()
    outer._orig_mod = small()
    return outer


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (lambda: 'net', r'must be a torch\.nn\.Module, not str'),
        (nn.ReLU, 'ReLU has no weights: there is nothing to prune'),
        (nn.Sequential, 'Sequential has no weights'),
        (lambda: nn.DataParallel(small()), 'DataParallel wraps a network: give its `module`'),
        (lambda: torch.jit.script(small()), r'compiled by torch\.jit .*: give the module that'),
        (compiled, r'compiled by torch\.compile .*: give its `_orig_mod`'),
        (lambda: small(device='meta'), "weights on the device 'meta', without values"),
        (lambda: small().half(), r'weights of torch\.float16: .* net\.float\(\)'),
        (lambda: small().bfloat16(), r'weights of torch\.bfloat16: .* net\.float\(\)'),
        (lambda: small().double(), r'weights of torch\.float64: .* net\.float\(\)'),
        (Two, r'the forward of the Two takes 2 inputs \(x, y\)'),
    ],
)
def test_what_cannot_be_pruned(make, words):
    with pytest.raises(CompressionError, match=words):
        check_network(make())


def test_what_can():
    check_network(small())


@pytest.mark.filterwarnings('ignore::FutureWarning')
def test_a_network_that_cannot_be_copied():
    net = nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 4, 1)))
    with pytest.raises(CompressionError, match=r'Sequential cannot be copied: .*parametrizations'):
        copied(net)
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 1)))
    assert torch.equal(copied(net)[0].weight, net[0].weight)
