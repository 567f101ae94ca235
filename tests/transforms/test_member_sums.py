"""Sums over the members of a centroid, against a NumPy loop and finite differences."""

import copy

import numpy as np
import pytest
import torch

from mmdet_lcp.transforms import Codebook
from mmdet_lcp.transforms.member_sums import BLOCK, BlockSums, CountedSums, MemberMeans, ReadShared

WAYS = [CountedSums, BlockSums]


def make_index(kind: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    index = torch.randint(0, 8, (40, 50), generator=generator, dtype=torch.uint8)
    if kind == 'without zeros':
        index = index.clamp(min=1)
    elif kind == 'skewed':  # one centroid has many blocks, some have no member at all
        index = torch.where(index > 1, 1, 5 * index).to(torch.uint8)
    elif kind == 'nothing':
        index = torch.zeros_like(index)
    elif kind == 'whole blocks':
        index = torch.arange(1, 8, dtype=torch.uint8).repeat_interleave(2 * BLOCK)
    return index


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('kind', ['usual', 'without zeros', 'skewed', 'nothing', 'whole blocks'])
def test_sums(way, kind):
    index = make_index(kind)
    values = torch.randn(index.shape, generator=torch.Generator().manual_seed(4))
    expected = [values.numpy().astype(np.float64)[index.numpy() == k + 1].sum() for k in range(7)]
    sums = way(index, 7)
    np.testing.assert_allclose(sums(values).numpy(), expected, rtol=0, atol=1e-4)
    # a gradient may be any view
    flipped = values.flip(0).t().contiguous().t()
    expected = [flipped.numpy().astype(np.float64)[index.numpy() == k + 1].sum() for k in range(7)]
    np.testing.assert_allclose(sums(flipped).numpy(), expected, rtol=0, atol=1e-4)


def test_a_sum_over_millions_is_exact_enough():
    index = torch.ones(3_000_000, dtype=torch.uint8)
    values = torch.full(index.shape, 0.1)
    exact = 3_000_000 * float(values[0])
    for way in WAYS:
        assert float(way(index, 1)(values)) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize('way', WAYS)
def test_gradient_by_finite_differences(way):
    index = make_index('usual')[:4, :6].contiguous()
    centroids = torch.randn(7, dtype=torch.float64, requires_grad=True)
    factors = torch.randn(4, 6, dtype=torch.float64)

    def read(values):
        return (ReadShared.apply(values, index, way(index, 7)) * factors).sin()

    assert torch.autograd.gradcheck(read, (centroids,))


def test_means():
    index = torch.tensor([[1, 1, 1, 3], [0, 3, 0, 1]], dtype=torch.uint8)
    values = torch.tensor([[1.0, 2.0, 3.0, 4.0], [9.0, 5.0, 9.0, 6.0]])
    means = MemberMeans(CountedSums(index, 3), index)
    assert means(values).tolist() == [3.0, 0.0, 4.5]


def test_a_step_along_the_mean_is_the_projection_of_the_step_of_the_weights():
    weight = torch.randn(30, 20, generator=torch.Generator().manual_seed(5))
    factors = torch.randn(30, 20, generator=torch.Generator().manual_seed(6))
    book = Codebook.fit(weight, bits=3, gradient='mean')
    (book(weight) * factors).sum().backward()
    free = book(weight).detach() - 0.1 * factors  # what a step of every weight would give
    for k, centroid in enumerate((book.centroids - 0.1 * book.centroids.grad).tolist()):
        assert centroid == pytest.approx(float(free[book.index == k + 1].mean()), abs=1e-6)


def test_another_index_is_noticed():
    """A copy, and a state that is loaded, bring an index of their own."""
    weight = torch.tensor([1.0, 1.0, 2.0, 3.0])
    book = Codebook.fit(weight, bits=8)
    book(weight).sum().backward()
    assert book.centroids.grad.tolist() == [2.0, 1.0, 1.0]
    other = Codebook.fit(torch.tensor([1.0, 2.0, 2.0, 3.0]), bits=8)
    twin = copy.deepcopy(book)
    for module in (book, twin):
        module.load_state_dict(other.state_dict())
        module.centroids.grad = None
        module(weight).sum().backward()
        assert module.centroids.grad.tolist() == [1.0, 2.0, 1.0]
