"""Canonical Huffman codes with codewords of at most 15 bits.

Lengths by package-merge (Larmore and Hirschberg, "A fast algorithm for optimal length-limited
Huffman codes", J. ACM 1990): the best lengths of all prefix codes that keep the limit. The
codewords follow from the lengths alone (Schwartz and Kallick 1964, as in RFC 1951), so that a
table of the lengths, four bits each, is all a file needs.
"""

import numpy as np
from bitarray import bitarray
from bitarray.util import int2ba

from mmdet_lcp.errors import CompressionError

MAX_LENGTH = 15  # a length has four bits in the table; 0 means that a symbol does not occur


def code_lengths(counts: np.ndarray) -> np.ndarray:
    """The length in bits of each symbol's codeword.

    Args:
        counts: how often each symbol occurs; at least one of them above 0, at most 2**15 of them.

    Returns:
        As many lengths: 0 where the count is 0, else 1 to 15. A single symbol has 1 bit.
    """
    present = np.flatnonzero(counts)
    lengths = np.zeros(len(counts), np.uint8)
    if len(present) == 1:
        lengths[present] = 1
        return lengths
    rising = present[np.argsort(counts[present], kind='stable')]
    leaves = counts[rising].astype(np.int64)
    level = leaves
    is_leaf = [np.ones(len(leaves), bool)]
    for _ in range(MAX_LENGTH - 1):
        packages = level[: len(level) // 2 * 2].reshape(-1, 2).sum(axis=1)
        merged = np.concatenate([leaves, packages])
        order = np.argsort(merged, kind='stable')
        is_leaf.append(order < len(leaves))
        level = merged[order]
    taken = 2 * len(leaves) - 2
    for leaf in reversed(is_leaf):
        leaves_taken = int(leaf[:taken].sum())
        lengths[rising[:leaves_taken]] += 1
        taken = 2 * (taken - leaves_taken)
    return lengths


def codewords(lengths: np.ndarray) -> dict[int, bitarray]:
    """The canonical codeword of each symbol that occurs, most significant bit first."""
    words = {}
    code = last = 0
    for symbol in _canonical_order(lengths):
        length = int(lengths[symbol])
        code <<= length - last
        words[int(symbol)] = int2ba(code, length, endian='big')
        code, last = code + 1, length
    return words


def canonical_form(lengths: np.ndarray) -> tuple[list[int], list[int]]:
    """The code as `bitarray.util.canonical_decode` takes it.

    Returns:
        The number of codewords of each length from 0 on, and the symbols in canonical order.

    Raises:
        CompressionError: the lengths are those of no complete code.
    """
    counts = np.bincount(lengths, minlength=MAX_LENGTH + 1)
    counts[0] = 0
    room = int((counts << (MAX_LENGTH - np.arange(MAX_LENGTH + 1))).sum())
    single = counts.sum() == 1 and counts[1] == 1
    if room != 1 << MAX_LENGTH and not single:
        raise CompressionError('a code table is not one of a complete prefix code')
    return counts.tolist(), _canonical_order(lengths).tolist()


def _canonical_order(lengths: np.ndarray) -> np.ndarray:
    present = np.flatnonzero(lengths)
    return present[np.argsort(lengths[present], kind='stable')]


def table_size(alphabet: int) -> int:
    """Bytes of the table of a code over ``alphabet`` symbols."""
    return (alphabet + 1) // 2


def write_table(lengths: np.ndarray) -> bytes:
    """The lengths, four bits each, the first symbol in the high half of the first byte."""
    padded = np.zeros(2 * table_size(len(lengths)), np.uint8)
    padded[: len(lengths)] = lengths
    return (padded[0::2] << 4 | padded[1::2]).tobytes()


def read_table(table: bytes | memoryview, alphabet: int) -> np.ndarray:
    """The lengths that `write_table` wrote.

    Raises:
        CompressionError: the unused half of the last byte is not 0.
    """
    packed = np.frombuffer(table, np.uint8)
    lengths = np.stack([packed >> 4, packed & 15], axis=1).reshape(-1)
    if lengths[alphabet:].any():
        raise CompressionError('a code table has bits that do not belong to it')
    return lengths[:alphabet]
