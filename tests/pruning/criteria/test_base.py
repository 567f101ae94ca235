"""Picking the largest scores."""

import random

import pytest
import torch

from mmdet_lcp.pruning.criteria import Criterion, largest


@pytest.mark.parametrize(
    ('scores', 'count', 'expected'),
    [
        ([1.0, 3.0, 2.0], 1, [1]),
        ([1.0, 3.0, 2.0], 2, [1, 2]),
        ([1.0, 3.0, 2.0], 3, [0, 1, 2]),
        ([1.0, 3.0, 2.0], 0, []),
        ([2.0, 2.0, 2.0, 2.0], 2, [0, 1]),  # of equal scores the lower index
        ([0.0, 5.0, 1.0, 5.0, 5.0], 2, [1, 3]),
        ([-1.0, -3.0, -1.0], 1, [0]),
    ],
)
def test_largest(scores, count, expected):
    assert largest(torch.tensor(scores), count) == expected


def test_largest_with_many_ties():
    drawn = random.Random(0)
    for _ in range(50):
        scores = [float(drawn.randrange(4)) for _ in range(drawn.randrange(1, 200))]
        count = drawn.randrange(len(scores) + 1)
        order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
        assert largest(torch.tensor(scores), count) == sorted(order[:count])


def test_a_criterion_has_to_select():
    with pytest.raises(TypeError):
        Criterion()
