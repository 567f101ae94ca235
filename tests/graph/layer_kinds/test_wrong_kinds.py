"""Kinds of layers that contradict themselves or their modules are told, by name."""

import pytest
import torch
from torch import nn

from mmdet_lcp import CompressionError, find_groups
from mmdet_lcp.graph import LayerKind
from mmdet_lcp.registry import LAYER_KINDS


class Scale(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        return x * self.gain[:, None, None]


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), Scale(8), nn.Conv2d(8, 2, 3)).eval()


@pytest.fixture
def registered():
    """Registers a kind for one test."""
    names = []

    def register(kind: type[LayerKind]) -> None:
        LAYER_KINDS.register_module(module=kind)
        names.append(kind.__name__)

    yield register
    for name in names:
        LAYER_KINDS.module_dict.pop(name)


@pytest.mark.parametrize('modules', ['Scale', [Scale], (Scale(1),), (int,)])
def test_modules_are_a_tuple_of_classes(modules):
    with pytest.raises(CompressionError, match='Wrong: its `modules` must be a tuple'):
        type('Wrong', (LayerKind,), dict(modules=modules))


def test_a_kind_for_nothing(registered):
    registered(type('ForNothing', (LayerKind,), {}))
    with pytest.raises(CompressionError, match=r'ForNothing is registered .* names no module'):
        find_groups(network(), (16, 16))


@pytest.mark.parametrize(
    ('sizes', 'tensors', 'words'),
    [
        (dict(out_channels='width'), {}, r"OfScale\.sizes names 'width', which 1, a Scale, does"),
        (
            dict(out_channels='channels'),
            dict(gian=dict(out_channels=0)),
            r"OfScale\.tensors names 'gian', which 1, a Scale, does not have",
        ),
    ],
)
def test_names_that_the_module_lacks(registered, sizes, tensors, words):
    keys = dict(modules=(Scale,), sizes=sizes, tensors=tensors)
    registered(type('OfScale', (LayerKind,), keys))
    with pytest.raises(CompressionError, match=words):
        find_groups(network(), (16, 16))


def test_a_network_without_parameters():
    with pytest.raises(CompressionError, match='the ReLU has no parameters'):
        find_groups(nn.ReLU(), (16, 16))
