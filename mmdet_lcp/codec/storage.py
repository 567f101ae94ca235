"""What a tensor takes before anything is Huffman coded, counted as Deep Compression does.

Han et al., ICLR 2016, section 2 and figures 2 and 3: a pruned tensor is a list of entries, each
with its value and its distance from the entry before, in b bits; where the distance is above 2^b
there is an entry whose value is zero, the filler. Shared values are indices of as many bits as
their number asks for, and a codebook. What would be larger in this form stays as it is.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mmdet_lcp.codec.codebook import MAX_CENTROIDS, distinct
from mmdet_lcp.codec.fixed_bits import index_bits
from mmdet_lcp.codec.patterns import to_patterns


@dataclass(frozen=True)
class Storage:
    """Bytes of a tensor.

    Args:
        plain: element by element.
        sparse: what is not zero, with relative indices; at most `plain`.
        shared: with indices into a codebook too; at most `sparse`.
    """

    plain: int
    sparse: int
    shared: int


def storage(tensor: Tensor, gap_bits: int) -> Storage:
    """Count the bytes of a tensor in each form.

    Args:
        tensor: any shape, without NaN.
        gap_bits: b, of a distance.

    Raises:
        CompressionError: the tensor is of a kind that cannot be packed.
    """
    if tensor.is_floating_point():
        tensor = tensor.detach().masked_fill(tensor == 0, 0.0)  # -0.0 is a zero here
    patterns = to_patterns(tensor)
    entries = sparse_entries(patterns, gap_bits)
    value_bits = 8 * patterns.itemsize
    plain = patterns.nbytes
    sparse = min(plain, _bytes(entries * (value_bits + gap_bits)))
    found = distinct(patterns, MAX_CENTROIDS + 1)
    if found is None or not len(found):
        return Storage(plain, sparse, sparse)
    # A filler is an entry with the value zero, so zero is one of the values of a sparse tensor.
    dense = len(patterns) * index_bits(len(found)) + len(found) * value_bits
    values = len(found) + (0 not in found and entries > len(patterns))
    indexed = entries * (index_bits(values) + gap_bits) + len(found) * value_bits
    return Storage(plain, sparse, min(sparse, _bytes(dense), _bytes(indexed)))


def sparse_entries(patterns: np.ndarray, gap_bits: int) -> int:
    """Entries of the sparse form, fillers included.

    Args:
        patterns: one dimension; 0 is what is left out.
        gap_bits: b, of a distance between 1 and 2^b.
    """
    positions = np.flatnonzero(patterns)
    distances = np.diff(positions, prepend=-1)
    return len(positions) + int(((distances - 1) >> gap_bits).sum())


def _bytes(bits: int) -> int:
    return (bits + 7) // 8
