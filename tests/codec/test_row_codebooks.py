"""Codebooks of rows against a loop over the rows."""

import numpy as np
import pytest

from mmdet_lcp.codec import row_codebooks as module
from mmdet_lcp.codec.row_codebooks import read_rows, row_codebooks, row_indices

FAR = 1 << 60


def table(rows: int, count: int, kinds: int, kind=np.uint32, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, np.iinfo(kind).max, (rows, kinds), endpoint=True, dtype=kind)
    return np.take_along_axis(values, rng.integers(0, kinds, (rows, count)), 1)


@pytest.mark.parametrize('chunk', [1, 64, 1 << 18])
@pytest.mark.parametrize('kind', [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize(
    ('rows', 'count', 'kinds'), [(1, 1, 1), (5, 40, 2), (7, 33, 5), (3, 900, 256)]
)
def test_against_a_loop(monkeypatch, chunk, kind, rows, count, kinds):
    monkeypatch.setattr(module, 'CHUNK', chunk)
    patterns = table(rows, count, kinds, kind)
    found = row_codebooks(patterns, FAR)
    each = [sorted(set(row.tolist())) for row in patterns]
    width = max(map(len, each))
    assert found.tolist() == [row + row[-1:] * (width - len(row)) for row in each]
    indices = row_indices(patterns, found)
    assert indices.max() < width
    for row, codebook, places in zip(patterns, found, indices, strict=True):
        assert [int(codebook[place]) for place in places] == row.tolist()
    assert (read_rows(found, indices) == patterns).all()


def test_the_largest_pattern_is_one_like_any_other():
    patterns = np.array([[0, 2**32 - 1, 5], [1, 1, 1]], np.uint32)
    found = row_codebooks(patterns, FAR)
    assert found.tolist() == [[0, 5, 2**32 - 1], [1, 1, 1]]
    assert (read_rows(found, row_indices(patterns, found)) == patterns).all()


def test_more_than_256_values_in_a_row():
    patterns = table(4, 2000, 200)
    assert row_codebooks(patterns, FAR) is not None
    patterns[2] = np.arange(2000)
    assert row_codebooks(patterns, FAR) is None
    assert row_codebooks(patterns[::-1], FAR) is None


def test_the_limit():
    """Five rows of 80 weights with 4 values: 5 * 4 * 4 bytes, and 2 bits a weight."""
    patterns = table(5, 80, 4)
    assert row_codebooks(patterns, 80 + 100) is None
    assert row_codebooks(patterns, 80 + 101).shape == (5, 4)
