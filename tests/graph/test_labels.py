"""Labels that broadcast, against labels written out for every element."""

import pytest
import torch

from mmdet_lcp.graph.labels import (
    channels_along,
    compact,
    concatenated,
    joined,
    mixed,
    on_dimension,
)
from mmdet_lcp.graph.ties import Ties


def test_compact():
    full = on_dimension(torch.tensor([3, 4, 5]), 1, 4).expand(2, 3, 6, 7)
    assert compact(full).shape == (1, 3, 1, 1)
    assert compact(full.contiguous()).flatten().tolist() == [3, 4, 5]
    assert compact(full.flatten(1)).shape == (1, 126)
    assert compact(torch.full((2, 3), 9)).tolist() == [[9]]


@pytest.mark.parametrize('dim', [0, 1, -1])
def test_concatenated(dim):
    a = on_dimension(torch.tensor([1, 2, 3]), 1, 3)
    b = on_dimension(torch.tensor([4, 5, 6]), 1, 3)
    shapes = [torch.Size((2, 3, 4))] * 3
    found = concatenated([(a, shapes[0]), (None, shapes[1]), (b, shapes[2])], dim)
    full = [a.expand(shapes[0]), torch.zeros(shapes[1]).long(), b.expand(shapes[2])]
    expected = torch.cat(full, dim)
    assert torch.equal(found.expand(expected.shape), expected)
    assert found.numel() < expected.numel()


def test_elements_that_meet_are_tied():
    ties = Ties()
    one, two = ties.fresh(3), ties.fresh(3)
    two[2] = 0
    shape = torch.Size((2, 3, 4, 4))
    found = joined([(on_dimension(one, 1, 4), shape), (two.view(3, 1, 1), shape[1:])], ties)
    assert found.shape == (1, 3, 1, 1)
    assert found.flatten().tolist() == [1, 2, 3]
    assert ties.roots(torch.arange(7)).tolist() == [0, 1, 2, 3, 1, 2, 6]


def test_mixing():
    ties = Ties()
    channels = ties.fresh(6)
    labels = channels.view(1, 2, 3)
    assert torch.equal(mixed(labels.view(1, 6, 1), [0, 2], ties).flatten(), channels)
    assert ties.roots(channels).tolist() == channels.tolist()  # nothing met
    found = mixed(labels, [-1], ties)
    assert found.flatten().tolist() == [1, 4]
    assert ties.roots(channels).tolist() == [1, 1, 1, 4, 4, 4]


def test_channels_of_an_axis():
    ties = Ties()
    shape = torch.Size((2, 3, 5))
    assert channels_along(None, 1, shape, ties).tolist() == [0, 0, 0]
    channels = ties.fresh(3)
    assert channels_along(on_dimension(channels, 1, 3), 1, shape, ties).tolist() == [1, 2, 3]
    # Every position of the last axis holds all three: they are tied there.
    assert channels_along(on_dimension(channels, 1, 3), 2, shape, ties).tolist() == [1] * 5
    assert ties.roots(channels).tolist() == [1, 1, 1]
    # Zeros beside a channel belong to it; 2 is tied to 1.
    labels = torch.tensor([[0, 2], [0, 0]]).view(2, 2, 1)
    assert channels_along(labels, 1, torch.Size((2, 2, 5)), ties).tolist() == [0, 1]
