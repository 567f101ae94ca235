"""Gaps against a loop over the elements, as the paper tells it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdet_lcp.codec import relative_index
from mmdet_lcp.codec.relative_index import gap_symbols, positions, reach


def gaps_by_loop(values, bits) -> list[int]:
    filler, gaps, zeros = 2**bits - 1, [], 0
    for value in values:
        if not value:
            zeros += 1
            continue
        gaps += [filler] * (zeros // filler) + [zeros % filler]
        zeros = 0
    return gaps


def test_the_papers_figure():
    """Entries at 1, 4 and 15 with 3 bits: the third is 10 zeros further, so a filler comes."""
    values = np.zeros(20, np.uint32)
    values[[1, 4, 15]] = [34, 9, 17]
    assert gap_symbols(values, 3).tolist() == [1, 2, 7, 3]


@pytest.mark.parametrize('zeros', [6, 7, 8, 13, 14, 15])
def test_around_the_filler(zeros):
    values = np.zeros(zeros + 1, np.uint32)
    values[-1] = 1
    symbols = gap_symbols(values, 3)
    assert symbols.tolist() == [7] * (zeros // 7) + [zeros % 7]
    assert np.concatenate(list(positions(symbols, 3))).tolist() == [zeros]
    assert reach(symbols, 3) == zeros + 1


@given(
    values=st.lists(st.sampled_from([0, 0, 0, 0, 0, 0, 1]), max_size=200),
    bits=st.integers(1, 8),
    chunk=st.sampled_from([7, 1 << 20]),
)
def test_positions_come_back(values, bits, chunk):
    values = np.array(values, np.uint16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relative_index, 'CHUNK', chunk)
        symbols = gap_symbols(values, bits)
        assert symbols.tolist() == gaps_by_loop(values, bits)
        found = [place for part in positions(symbols, bits) for place in part.tolist()]
    assert found == np.flatnonzero(values).tolist()
    assert reach(symbols, bits) == (found[-1] + 1 if found else 0)
