"""The few values that all weights of a layer share, found from the weights themselves.

Han et al., "Deep Compression", ICLR 2016, section 3: after weight sharing a layer has at most 256
(convolutions) or 32 (fully connected) different values. Whoever made them, k-means, low-bit
rounding or a batch norm at its start, they are found by looking.
"""

import numpy as np

MAX_CENTROIDS = 256  # an index is one byte
CHUNK = 1 << 18
FIRST_CHUNK = 1 << 12  # enough to see that a tensor shares nothing


def distinct(patterns: np.ndarray, limit: int) -> np.ndarray | None:
    """The different patterns, rising.

    Args:
        patterns: one dimension, unsigned.
        limit: the most that are of use.

    Returns:
        At most ``limit`` patterns, or None where there are more.
    """
    found = np.zeros(0, patterns.dtype)
    begin, size = 0, FIRST_CHUNK
    while begin < len(patterns):
        # sorted, not np.unique: that builds a hash table, ten times slower on dense weights
        rising = np.sort(np.concatenate([found, patterns[begin : begin + size]]))
        found = rising[np.flatnonzero(np.diff(rising, prepend=~rising[:1]))]
        if len(found) > limit:
            return None
        begin, size = begin + size, CHUNK
    return found


def indices(patterns: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Where each pattern stands in the codebook.

    Args:
        patterns: one dimension; all of them are in the codebook.
        codebook: at most 256 patterns, rising.

    Returns:
        uint8, as many as there are patterns.
    """
    found = np.empty(len(patterns), np.uint8)
    for start in range(0, len(patterns), CHUNK):
        chunk = slice(start, start + CHUNK)
        found[chunk] = np.searchsorted(codebook, patterns[chunk])
    return found
