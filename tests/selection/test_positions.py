"""Weights of positions, worked by hand."""

import numpy as np
import pytest
import torch

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.selection.positions import Positions, inside_boxes

BOX = torch.tensor([[16.0, 0.0, 32.0, 16.0]])  # columns 2 and 3, rows 0 and 1 of an 8x8 map of 64


def test_positions_inside_an_enlarged_box():
    inside = inside_boxes((8, 8), BOX.double(), (64, 64), context=1.0).view(8, 8)
    expected = torch.zeros(8, 8, dtype=torch.float64)
    expected[:2, 2:4] = 1 / 4
    torch.testing.assert_close(inside, expected)
    # Half as large again: 12..36 by -4..20, centres at 4, 12, 20, 28, 36.
    inside = inside_boxes((8, 8), BOX.double(), (64, 64), context=1.5).view(8, 8)
    expected = torch.zeros(8, 8, dtype=torch.float64)
    expected[:3, 1:5] = 1 / 12
    torch.testing.assert_close(inside, expected)


def test_a_small_box_takes_the_nearest_position():
    tiny = torch.tensor([[33.0, 17.0, 34.0, 18.0]]).double()
    inside = inside_boxes((4, 2), tiny, (64, 64), context=1.25).view(4, 2)
    assert inside[1, 1] == 1
    assert inside.sum() == 1


def test_shares_by_hand():
    boxes = [torch.cat([BOX, torch.tensor([[0.0, 0.0, 64.0, 64.0]])]), torch.empty(0, 4)]
    weights = Positions(objects=0.7, context=1.0).weights((8, 8), boxes, (64, 64))
    expected = np.full((8, 8), 0.3 / 64 + 0.35 / 64)
    expected[:2, 2:4] += 0.35 / 4
    np.testing.assert_allclose(weights[0].view(8, 8), expected)
    np.testing.assert_allclose(weights[1], np.full(64, 1 / 64))  # no objects: evenly


def test_saliency_follows_the_squared_gradient():
    squares = torch.zeros(2, 4)
    squares[0] = torch.tensor([0.0, 1.0, 3.0, 0.0])
    weights = Positions(objects=0.0, saliency=0.5).weights(
        (2, 2), [torch.empty(0, 4)] * 2, (8, 8), squares
    )
    np.testing.assert_allclose(weights[0], [0.125, 0.25, 0.5, 0.125])
    np.testing.assert_allclose(weights[1], [0.25] * 4)  # no gradient at all


@pytest.mark.parametrize(
    ('keys', 'key'),
    [
        (dict(per_image=0), 'per_image'),
        (dict(context=0), 'context'),
        (dict(objects=-0.1), 'objects'),
        (dict(objects=0.6, saliency=0.5), 'objects=0.6 and saliency=0.5'),
    ],
)
def test_wrong_values_name_their_key(keys, key):
    with pytest.raises(CompressionError, match=key):
        Positions(**keys)
