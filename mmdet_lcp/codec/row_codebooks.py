"""A codebook for each row of a tensor: the weights of a filter have few values, those of all many.

Weights of M bits with a scale a channel (XNOR-Net, Rastegari et al., ECCV 2016, has one bit) take
at most 2^M values in each row, a row being a first-axis entry, and other ones in the next.
"""

from collections.abc import Iterator

import numpy as np

from mmdet_lcp.codec.codebook import CHUNK, MAX_CENTROIDS, distinct
from mmdet_lcp.codec.fixed_bits import index_bits, packed_size


def row_codebooks(patterns: np.ndarray, limit: int) -> np.ndarray | None:
    """The different patterns of each row, rising.

    Args:
        patterns: (rows, n), unsigned, both at least 1.
        limit: bytes that codebooks and packed indices have to stay below to be of use.

    Returns:
        (rows, k), k at most 256 the most that a row has; a row with fewer repeats its last one.
        None where a row has more, or the limit is not kept.
    """
    rows, count = patterns.shape
    first = distinct(patterns[0], MAX_CENTROIDS)
    if first is None or _size(patterns, len(first)) >= limit:
        return None
    found = np.empty((rows, 0), patterns.dtype)
    for begin, end in _chunks(rows, count):
        rising = np.sort(patterns[begin:end], axis=1)
        new = np.ones(rising.shape, bool)
        np.not_equal(rising[:, 1:], rising[:, :-1], out=new[:, 1:])
        width = int(new.sum(1).max())
        if width > MAX_CENTROIDS or _size(patterns, max(width, found.shape[1])) >= limit:
            return None
        if width > found.shape[1]:
            found = _widened(found, width, begin)
        row, column = np.nonzero(new)
        here = found[begin:end]
        here[:] = rising[:, -1:]
        here[row, np.cumsum(new, axis=1)[row, column] - 1] = rising[row, column]
    return found


def row_indices(patterns: np.ndarray, codebooks: np.ndarray) -> np.ndarray:
    """Where each pattern stands in its row's codebook.

    Args:
        patterns: (rows, n); all of them are in their row's codebook.
        codebooks: (rows, k), by `row_codebooks`.

    Returns:
        (rows, n), uint8.
    """
    rows, count = patterns.shape
    width = codebooks.shape[1]
    found = np.zeros(patterns.shape, np.uint8)
    for begin, end in _chunks(rows, count):
        place = np.zeros((end - begin, count), np.int64)
        step = 1 << index_bits(width)
        while step := step >> 1:  # a binary search in all rows at once
            further = place + step
            there = np.take_along_axis(codebooks[begin:end], further.clip(max=width - 1), 1)
            place[(further < width) & (there <= patterns[begin:end])] += step
        found[begin:end] = place
    return found


def read_rows(codebooks: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """The patterns that `row_indices` was made from.

    Args:
        codebooks: (rows, k).
        indices: (rows, n), uint8, each below k.
    """
    found = np.empty(indices.shape, codebooks.dtype)
    for begin, end in _chunks(*indices.shape):
        here = indices[begin:end].astype(np.int64)
        found[begin:end] = np.take_along_axis(codebooks[begin:end], here, 1)
    return found


def _size(patterns: np.ndarray, width: int) -> int:
    """Bytes of codebooks with so many entries, and of the indices."""
    codebooks = len(patterns) * width * patterns.itemsize
    return codebooks + packed_size(patterns.size, index_bits(width))


def _widened(found: np.ndarray, width: int, filled: int) -> np.ndarray:
    wider = np.empty((len(found), width), found.dtype)
    if filled:
        wider[:filled, : found.shape[1]] = found[:filled]
        wider[:filled, found.shape[1] :] = found[:filled, -1:]
    return wider


def _chunks(rows: int, count: int) -> Iterator[tuple[int, int]]:
    step = max(1, CHUNK // max(count, 1))
    for begin in range(0, rows, step):
        yield begin, min(begin + step, rows)
