"""Bytes before Huffman's code, against an encoder that walks from weight to weight."""

import math

import pytest
import torch

from mmdet_lcp.codec.patterns import to_patterns
from mmdet_lcp.codec.storage import sparse_entries, storage


def walk(weight: torch.Tensor, bits: int) -> int:
    """Entries of figure 2 of the paper, fillers included."""
    entries, last = 0, -1
    for place, value in enumerate(weight.flatten().tolist()):
        if value:
            while place - last > 2**bits:
                entries, last = entries + 1, last + 2**bits
            entries, last = entries + 1, place
    return entries


def test_the_example_of_the_paper():
    """Figure 2: entries at 1, 4 and 15, three bits; the third needs a filler."""
    weight = torch.zeros(16)
    weight[[1, 4, 15]] = torch.tensor([3.4, 0.9, 1.7])
    assert sparse_entries(to_patterns(weight), 3) == 4
    assert storage(weight, 3).sparse == math.ceil(4 * (32 + 3) / 8)
    # each entry five times: four values, zero among them, in 2 bits, and a codebook of four
    assert storage(weight.repeat(5), 3).shared == math.ceil((5 * 4 * (2 + 3) + 4 * 32) / 8)


@pytest.mark.parametrize('bits', [1, 3, 5, 8])
@pytest.mark.parametrize('density', [0.002, 0.1, 0.7])
def test_against_the_walk(bits, density):
    generator = torch.Generator().manual_seed(bits)
    weight = torch.randn(10, 300, generator=generator)
    weight[torch.rand(10, 300, generator=generator) >= density] = 0
    entries = walk(weight, bits)
    assert sparse_entries(to_patterns(weight), bits) == entries
    found = storage(weight, bits)
    assert found.plain == 12000
    assert found.sparse == min(12000, math.ceil(entries * (32 + bits) / 8))
    if int(weight.count_nonzero()) > 256:
        assert found.shared == found.sparse
    negative = torch.where(weight == 0, -0.0, weight)
    assert storage(negative, bits) == found


@pytest.mark.parametrize(('values', 'bits'), [(2, 1), (16, 4), (17, 5), (256, 8)])
def test_a_codebook_without_zeros(values, bits):
    """n b + k 32 bits, as in equation 1 of the paper."""
    weight = (torch.arange(2048) % values + 1).float()
    assert storage(weight, 8).shared == math.ceil((2048 * bits + values * 32) / 8)


def test_what_nothing_makes_smaller():
    weight = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert vars(storage(weight, 8)) == {'plain': 4000, 'sparse': 4000, 'shared': 4000}
    assert storage(torch.zeros(0), 8).shared == 0
    assert storage(torch.zeros(1000), 8).sparse == 0
