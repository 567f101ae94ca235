"""The values of a tensor: raw, or codebooks with indices that are packed or Huffman coded."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmdet_lcp.codec.fixed_bits import index_bits, pack_bits, packed_size, unpack_bits
from mmdet_lcp.codec.patterns import ELEMENT_TYPES
from mmdet_lcp.codec.record import PACKED, RAW, ROWS, SHARED, TensorRecord
from mmdet_lcp.codec.row_codebooks import read_rows, row_codebooks, row_indices
from mmdet_lcp.codec.symbol_stream import PlannedStream, decode_stream
from mmdet_lcp.errors import CompressionError


@dataclass(frozen=True)
class PlannedValues:
    """A way to write values; the bytes are made when they are asked for.

    Args:
        size: bytes of codebook and values.
        form: the keys of `TensorRecord` that say how.
        encode: makes the values' bytes.
        codebook: bytes that come before everything else.
    """

    size: int
    encode: Callable[[], bytes]
    form: dict[str, Any] = field(default_factory=dict)
    codebook: bytes = b''


def raw_values(patterns: np.ndarray) -> PlannedValues:
    """Element by element, little-endian."""
    return PlannedValues(patterns.nbytes, patterns.tobytes)


def shared_values(codebook: np.ndarray, indices: np.ndarray) -> PlannedValues:
    """A codebook, and indices in the smaller of the two forms.

    Args:
        codebook: at most 256 patterns.
        indices: uint8, into it.
    """
    bits = index_bits(len(codebook))
    stream = PlannedStream(indices, len(codebook))
    size, packed = stream.record.size, packed_size(len(indices), bits)
    form: dict[str, Any] = {'centroids': len(codebook)}
    if packed <= size:
        form['values'] = PACKED
        size, encode = packed, lambda: pack_bits(indices, bits)
    else:
        form.update(values=SHARED, stream=stream.record)
        encode = stream.encode
    return PlannedValues(codebook.nbytes + size, encode, form, codebook.tobytes())


def row_values(patterns: np.ndarray, rows: int) -> PlannedValues | None:
    """A codebook for each row, and packed indices.

    Args:
        patterns: one dimension.
        rows: that they are cut into, alike in length.

    Returns:
        None where that would not be smaller than the patterns themselves.
    """
    if rows < 2 or not len(patterns):
        return None
    table = patterns.reshape(rows, -1)
    codebooks = row_codebooks(table, table.nbytes)
    if codebooks is None:
        return None
    bits = index_bits(codebooks.shape[1])
    return PlannedValues(
        codebooks.nbytes + packed_size(table.size, bits),
        lambda: pack_bits(row_indices(table, codebooks).reshape(-1), bits),
        {'values': ROWS, 'centroids': codebooks.shape[1]},
        codebooks.tobytes(),
    )


def decode_values(
    record: TensorRecord, codebook: memoryview, data: memoryview
) -> tuple[np.ndarray, np.ndarray | None]:
    """The values that were written.

    Args:
        record: of the tensor, checked.
        codebook: the bytes of it, or of all.
        data: the values' bytes.

    Returns:
        The patterns, writable, and the symbols where they were Huffman coded.

    Raises:
        CompressionError: the bytes are not what the record says.
    """
    pattern = ELEMENT_TYPES[record.file_dtype].pattern
    if record.values == RAW:
        return np.frombuffer(data, pattern), None
    if record.values in (PACKED, ROWS):
        indices = unpack_bits(data, record.entries, index_bits(record.centroids))
        if indices.size and indices.max() >= record.centroids:
            raise CompressionError('an index is behind the end of the codebook')
        symbols = None
    else:
        symbols = indices = decode_stream(record.stream, data)
    entries = np.frombuffer(codebook, pattern)
    if record.values == ROWS:
        rows = record.shape[0]
        return read_rows(entries.reshape(rows, -1), indices.reshape(rows, -1)).reshape(-1), None
    return entries[indices], symbols
