"""Shared weights: gradients summed over members by hand, zeros kept, states restored."""

import copy

import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.transforms import Codebook, ElementMask, attach, fold, mask_by_sparsity


def test_gradient_of_a_centroid_is_the_sum_over_its_members():
    weight = torch.tensor([[0.1, 0.9, 0.0], [0.12, 0.88, -0.5]])
    book = Codebook.fit(weight, bits=2)
    index = book.index.clone()
    factors = torch.arange(1.0, 7).view(2, 3)
    (book(weight) * factors).sum().backward()
    for k in range(len(book.centroids)):
        assert float(book.centroids.grad[k]) == float(factors[index == k + 1].sum())
    assert float(book(weight)[0, 2]) == 0.0
    assert sorted(book.centroids.detach().tolist()) == pytest.approx([-0.5, 0.11, 0.89])


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
@pytest.mark.parametrize('sparse', [False, True])
def test_so_many_different_values_at_most(bits, sparse):
    weight = torch.randn(40, 50, generator=torch.Generator().manual_seed(bits))
    if sparse:
        weight = weight * mask_by_sparsity(weight, 0.6)
    book = Codebook.fit(weight, bits)
    read = book(weight).detach()
    assert len(read.unique()) <= 2**bits
    assert torch.equal(read == 0, weight == 0) or bits == 1


def test_more_bits_lose_less():
    weight = torch.randn(3000, generator=torch.Generator().manual_seed(0))
    errors = [
        float((Codebook.fit(weight, bits)(weight) - weight).square().mean()) for bits in (2, 4, 6)
    ]
    assert errors[0] > 4 * errors[1] > 16 * errors[2]


def test_in_a_layer_after_a_mask_trained_folded_and_copied():
    layer = nn.Conv2d(3, 8, 3, bias=False)
    attach(layer, ElementMask(mask_by_sparsity(layer.weight, 0.7)))
    attach(layer, Codebook.fit(layer.weight, bits=3))
    optimizer = torch.optim.SGD([p for p in layer.parameters()], lr=0.1)
    before = layer.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(1, 3, 6, 6)).square().mean().backward()
        optimizer.step()
    read = layer.weight.detach().clone()
    assert not torch.equal(read, before)
    assert torch.equal(read == 0, before == 0) and len(read.unique()) <= 8
    twin = copy.deepcopy(layer)
    assert torch.equal(twin.weight, read)
    fold(layer)
    assert type(layer) is nn.Conv2d and torch.equal(layer.weight, read)
    assert list(layer.state_dict()) == ['weight']


@pytest.mark.parametrize('bits', [0, 9, 2.0])
def test_bad_bits(bits):
    with pytest.raises(CompressionError, match='bits'):
        Codebook.fit(torch.randn(4), bits)


def test_a_layer_without_weights_left_is_refused():
    with pytest.raises(CompressionError, match='zero'):
        Codebook.fit(torch.zeros(4), 2)
