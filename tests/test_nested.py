"""Tensors in nested containers."""

from typing import NamedTuple

import torch

from mmdet_lcp.nested import tensors_in, with_tensors


class Pair(NamedTuple):
    first: object
    second: object


def test_all_of_them_in_order():
    a, b, c = (torch.tensor(float(n)) for n in range(3))
    values = [a, (1, 'x', {'b': b}), None, Pair(c, 2)]
    assert [float(t) for t in tensors_in(values)] == [0, 1, 2]
    assert tensors_in(a) == [a]


def test_the_containers_stay():
    values = [torch.ones(2), (1, {'b': torch.zeros(1)}), None, Pair(torch.ones(1), 'x')]
    found = with_tensors(values, lambda x: x + 1)
    assert [t.tolist() for t in tensors_in(found)] == [[2, 2], [1], [2]]
    assert found[1][0] == 1 and found[2] is None
    assert isinstance(found[3], Pair) and found[3].second == 'x'
    assert values[0].tolist() == [1, 1]
