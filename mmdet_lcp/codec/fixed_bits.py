"""Indices of the same few bits each, one behind the other, most significant bit first."""

import numpy as np

from mmdet_lcp.errors import CompressionError

CHUNK = 1 << 20  # a multiple of 8, so that every chunk begins at a byte


def index_bits(centroids: int) -> int:
    """Bits of an index into a codebook: at least 1."""
    return max(1, (centroids - 1).bit_length())


def packed_size(count: int, bits: int) -> int:
    """Bytes of ``count`` indices."""
    return (count * bits + 7) // 8


def pack_bits(indices: np.ndarray, bits: int) -> bytes:
    """Write the lower ``bits`` bits of each index (uint8); the last byte is filled with 0."""
    parts = []
    for start in range(0, len(indices), CHUNK):
        chunk = indices[start : start + CHUNK, None]
        parts.append(np.packbits(np.unpackbits(chunk, axis=1)[:, 8 - bits :]).tobytes())
    return b''.join(parts)


def unpack_bits(data: memoryview, count: int, bits: int) -> np.ndarray:
    """The indices that `pack_bits` wrote, uint8.

    Raises:
        CompressionError: the bits behind the last index are not 0.
    """
    packed = np.frombuffer(data, np.uint8)
    indices = np.zeros(count, np.uint8)
    for start in range(0, count, CHUNK):
        chunk = packed[start * bits // 8 : (start + CHUNK) * bits // 8]
        flat = np.unpackbits(chunk)
        here = min(CHUNK, count - start)
        if flat[here * bits :].any():
            raise CompressionError('indices go on behind their end')
        wide = np.zeros((here, 8), np.uint8)
        wide[:, 8 - bits :] = flat[: here * bits].reshape(here, bits)
        indices[start : start + here] = np.packbits(wide)
    return indices
