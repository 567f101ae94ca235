import math

import pytest
import torch

from mmdet_lcp.codec import PackedReader, open_writer, tensor_facts


@pytest.fixture
def facts(tmp_path):
    def of(tensor):
        with open_writer(tmp_path / 'x.lcp') as writer:
            writer.add('x', tensor)
        (found,) = tensor_facts(PackedReader(tmp_path / 'x.lcp'))
        return found

    return of


def test_raw(facts):
    found = facts(torch.randn(100))
    assert (found.record.size, found.bound, found.factor) == (400, 400, 1)
    assert found.bits_per_weight == 32
    assert (found.stream_size, found.entropy_size, found.table_size) == (0, 0, 0)


def test_shared_by_hand(facts):
    """Shares 1/2, 1/4 and twice 1/8: Huffman's code is the entropy, 1.75 bits."""
    found = facts(torch.tensor([1.0] * 4 + [2.0] * 2 + [3.0, 4.0]).repeat(1000))
    assert found.record.coding == 'shared'
    assert (found.stream_size, found.entropy_size, found.table_size) == (1750, 1750, 2)
    assert found.bound == 16 + 1750
    assert found.record.size == 16 + 2 + 1750
    assert found.factor == 32000 / 1768
    assert found.bits_per_weight == pytest.approx(8 * 1768 / 8000)


def test_sparse_counts_both_streams(facts):
    """Gaps of 8 and of 2 zeros by turns; 9,000 values of one kind and 1,000 of another."""
    tensor = torch.zeros(60_000)
    order = torch.randperm(10_000, generator=torch.Generator().manual_seed(0))
    values = torch.tensor([1.0] * 9 + [2.0]).repeat(1000)[order]
    tensor[8::12], tensor[11::12] = values[::2], values[1::2]
    found = facts(tensor)
    assert found.record.coding == 'sparse shared'
    values = -(9000 * math.log2(0.9) + 1000 * math.log2(0.1)) / 8
    gaps = 10_000 / 8  # one bit each
    assert found.entropy_size == pytest.approx(values + gaps)
    assert found.entropy_size <= found.stream_size < 1.03 * found.entropy_size


def test_empty(facts):
    found = facts(torch.zeros(0))
    assert (found.factor, found.bits_per_weight, found.bound) == (1, 0, 0)
