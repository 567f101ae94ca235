"""Lengths against a search through all codes; codewords against RFC 1951's own example."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdet_lcp.codec.prefix_code import (
    MAX_LENGTH,
    canonical_form,
    code_lengths,
    codewords,
    read_table,
    write_table,
)
from mmdet_lcp.errors import CompressionError

COUNTS = st.lists(st.integers(0, 10**6), min_size=2, max_size=40).filter(
    lambda counts: sum(count > 0 for count in counts) >= 2
)


def least_bits(counts: list[int]) -> int:
    """Bits of the best code with codewords of at most 15 bits, by trying them all.

    A code is how many of the slots of each level of the tree are leaves; the frequent symbols
    take the upper ones.
    """
    falling = sorted((count for count in counts if count), reverse=True)
    sums = np.cumsum([0, *falling]).tolist()

    @lru_cache(None)
    def best(level: int, placed: int, slots: int) -> float:
        if placed == len(falling):
            return 0
        if level > MAX_LENGTH:
            return float('inf')
        return min(
            level * (sums[placed + leaves] - sums[placed])
            + best(level + 1, placed + leaves, min(2 * (slots - leaves), len(falling)))
            for leaves in range(min(slots, len(falling) - placed) + 1)
        )

    return best(1, 0, 2)


@given(COUNTS)
def test_no_code_is_shorter(counts):
    lengths = code_lengths(np.array(counts))
    assert (lengths > 0).tolist() == [count > 0 for count in counts]
    assert int(np.array(counts) @ lengths.astype(int)) == least_bits(counts)
    assert sum(2.0 ** -int(length) for length in lengths if length) == 1


@pytest.mark.parametrize('ratio', [1.3, 1.618, 2, 4])
def test_the_limit_is_kept_at_the_least_cost(ratio):
    """Without a limit, counts that grow by 1.62 and more would take a bit more for each symbol."""
    counts = [int(ratio**power) + 1 for power in range(24)]
    lengths = code_lengths(np.array(counts))
    assert lengths.max() <= MAX_LENGTH
    assert int(np.array(counts) @ lengths.astype(int)) == least_bits(counts)


def test_one_symbol_has_one_bit():
    lengths = code_lengths(np.array([0, 0, 7]))
    assert lengths.tolist() == [0, 0, 1]
    assert codewords(lengths)[2].to01() == '0'
    assert canonical_form(lengths)[1] == [2]


def test_codewords_are_those_of_rfc_1951():
    """Section 3.2.2: lengths (3, 3, 3, 3, 3, 2, 4, 4) of the letters A to H."""
    words = codewords(np.array([3, 3, 3, 3, 3, 2, 4, 4], np.uint8))
    expected = ['010', '011', '100', '101', '110', '00', '1110', '1111']
    assert [words[symbol].to01() for symbol in range(8)] == expected


@pytest.mark.parametrize(
    'lengths', [[1, 1, 1], [2, 2, 2], [1, 2, 15], [2], [1, 0, 2], [0, 0], [15] * 5]
)
def test_incomplete_and_impossible_codes_are_refused(lengths):
    with pytest.raises(CompressionError, match='complete prefix code'):
        canonical_form(np.array(lengths, np.uint8))


def test_table_in_bytes():
    assert write_table(np.array([1, 0, 15], np.uint8)) == bytes([0x10, 0xF0])
    assert read_table(bytes([0x10, 0xF0]), 3).tolist() == [1, 0, 15]
    with pytest.raises(CompressionError, match='do not belong'):
        read_table(bytes([0x10, 0xF1]), 3)
