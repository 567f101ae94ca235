"""Positions of the weights that are not zero, each relative to the last one.

Han et al., "Deep Compression", ICLR 2016, section 2 and figure 2. A gap is the number of zeros
since the last entry, or since the beginning; it is written with b bits (8 in convolutions, 5 in
fully connected layers). The largest number, F = 2**b - 1, is the filler: F zeros and no entry. The
paper's filler is an entry whose value is zero; this one needs no value, which saves the filler's
code in the stream of the values. Zeros behind the last entry are not written.
"""

from collections.abc import Iterator

import numpy as np

CHUNK = 1 << 20  # elements that are worked on at a time


def gap_symbols(patterns: np.ndarray, gap_bits: int) -> np.ndarray:
    """The gaps before each entry, with fillers.

    Args:
        patterns: one dimension; 0 is what is left out.
        gap_bits: of a gap, 1 to 8.

    Returns:
        uint8, each at most 2**gap_bits - 1.
    """
    filler = (1 << gap_bits) - 1
    parts = [np.zeros(0, np.uint8)]
    last = -1
    for start in range(0, len(patterns), CHUNK):
        positions = np.flatnonzero(patterns[start : start + CHUNK]) + start
        if not len(positions):
            continue
        gaps = np.diff(positions, prepend=last) - 1
        last = int(positions[-1])
        fillers = gaps // filler
        symbols = np.full(len(gaps) + int(fillers.sum()), filler, np.uint8)
        symbols[np.cumsum(fillers + 1) - 1] = gaps % filler
        parts.append(symbols)
    return np.concatenate(parts)


def reach(symbols: np.ndarray, gap_bits: int) -> int:
    """The number of elements up to the last entry, zeros included."""
    fillers = int((symbols == (1 << gap_bits) - 1).sum())
    return int(symbols.sum(dtype=np.int64)) + len(symbols) - fillers


def positions(symbols: np.ndarray, gap_bits: int) -> Iterator[np.ndarray]:
    """The positions of the entries, rising, some at a time.

    Args:
        symbols: as `gap_symbols` gave them.
        gap_bits: as there.
    """
    filler = (1 << gap_bits) - 1
    end = 0
    for start in range(0, len(symbols), CHUNK):
        chunk = symbols[start : start + CHUNK]
        is_entry = chunk != filler
        ends = np.cumsum(chunk + is_entry.astype(np.int64)) + end
        end = int(ends[-1])
        yield ends[is_entry] - 1
