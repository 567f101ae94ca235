"""Which layers a method changes, on a model of which every layer can be told apart."""

import pytest
import torch
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.weight_compression.layers import (
    choose_layers,
    matching,
    require_finite,
    weight_layers,
)


@pytest.fixture
def model():
    model = nn.Sequential()
    model.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    model.up = nn.ConvTranspose2d(4, 4, 2)
    model.fc = nn.Linear(4, 2)
    model.again = nn.ModuleList([model.fc])
    return model


def test_layers_with_weights_once_each(model):
    assert list(weight_layers(model)) == ['stem.0', 'up', 'fc']


def test_matching_is_in_the_order_of_the_modules(model):
    found = weight_layers(model)
    assert matching(found, ['fc', r'stem\.'], 'key') == ['stem.0', 'fc']
    assert matching(found, '', 'key') == list(found)


@pytest.mark.parametrize(
    ('pattern', 'words'),
    [
        ('^stam.0$', r"key: '\^stam\.0\$' matches no layer.*3 layers.*nearest is 'stem\.0'"),
        ('(', 'key'),
    ],
)
def test_a_pattern_that_finds_nothing(model, pattern, words):
    with pytest.raises(CompressionError, match=words):
        matching(weight_layers(model), [pattern, 'fc'], 'key')


def test_the_rest_is_told_with_reasons(model):
    chosen, skipped = choose_layers(
        model, 'up|fc', {'up': 'it is small', 'stem.0': 'x'}, 'methods.a'
    )
    assert chosen == ['fc']
    assert skipped == [
        Skipped('stem.0', 'not in methods.a.layers'),
        Skipped('up', 'it is small'),
    ]


def test_nothing_is_left(model):
    with pytest.raises(
        CompressionError, match=r'methods\.a: no layer is left(.|\n)*up: it is small'
    ):
        choose_layers(model, 'up', {'up': 'it is small'}, 'methods.a')


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_weights_that_are_no_numbers(bad):
    require_finite('fc', torch.ones(3))
    with pytest.raises(CompressionError, match=r'fc: 1 of 3 weights .* smaller learning rate'):
        require_finite('fc', torch.tensor([0.0, bad, 1.0]))
