"""One tensor to bytes and back: of all codings the smallest, chosen from what the tensor holds.

Han et al., "Deep Compression", ICLR 2016. A coding is a choice for the positions (all elements,
or only those that are not zero, by their gaps) and one for the values (raw, packed indices,
Huffman-coded indices, packed indices with a codebook for each row). A tensor that was neither
pruned nor shared is raw, one that was only pruned sparse raw, one that was both sparse shared; a
binary or four-bit weight may be packed, and by rows if it has a scale a channel.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmdet_lcp.codec.codebook import MAX_CENTROIDS, distinct, indices
from mmdet_lcp.codec.patterns import ELEMENT_TYPES, dtype_name, from_patterns, to_patterns
from mmdet_lcp.codec.record import MAX_GROWTH, GapRecord, TensorRecord
from mmdet_lcp.codec.relative_index import gap_symbols, positions, reach
from mmdet_lcp.codec.settings import PackSettings
from mmdet_lcp.codec.symbol_stream import MAX_BLOCK, PlannedStream, decode_stream
from mmdet_lcp.codec.value_coding import (
    PlannedValues,
    decode_values,
    raw_values,
    row_values,
    shared_values,
)
from mmdet_lcp.errors import CompressionError

# What a codebook, or gaps, cost in the index, about: without it, tensors of two or three elements
# would take a codebook to save a byte.
RECORD_COST = 16


@dataclass(frozen=True)
class DecodedTensor:
    """A tensor as it came out of the file.

    Args:
        tensor: on the CPU.
        symbols: the streams that were Huffman coded, for statistics: uint8.
    """

    tensor: Tensor
    symbols: tuple[np.ndarray, ...]


def encode_tensor(
    name: str, tensor: Tensor, settings: PackSettings | None = None
) -> tuple[TensorRecord, bytes]:
    """Code a tensor in the smallest way.

    Args:
        name: its key in the state dict.
        tensor: any shape and device.
        settings: the usual ones unless given.

    Returns:
        Its record, and the bytes that belong to it.

    Raises:
        CompressionError: the tensor cannot be packed; its name is told.
    """
    settings = settings or PackSettings()
    try:
        dtype = dtype_name(tensor)
        tensor = settings.with_plain_zeros(tensor)
        patterns = to_patterns(tensor)
    except CompressionError as error:
        raise CompressionError(f'{name}: {error}') from error
    rows = len(tensor) if tensor.dim() > 1 else 0
    values, gaps, stream = _smallest(patterns, settings.gap_bits(tensor.dim()), rows)
    form = values.form
    if settings.half and dtype == 'float32' and gaps is None and not form:
        half = tensor.detach().cpu().to(torch.float16)
        if bool((half.isinf() == tensor.detach().cpu().isinf()).all()):
            values, form = raw_values(to_patterns(half)), {'stored': 'float16'}
    data = values.codebook + (stream.encode() if stream else b'') + values.encode()
    record = TensorRecord(
        name=name,
        dtype=dtype,
        shape=tuple(tensor.shape),
        size=len(data),
        crc=zlib.crc32(data),
        gaps=gaps,
        **form,
    )
    record.check()
    return record, data


class _Choice(NamedTuple):
    values: PlannedValues
    gaps: GapRecord | None = None
    gap_stream: PlannedStream | None = None

    @property
    def size(self) -> int:
        return self.values.size + (self.gap_stream.record.size if self.gap_stream else 0)

    @property
    def cost(self) -> int:
        """What counts when the smallest choice is looked for."""
        return self.size + RECORD_COST * (bool(self.values.form) + (self.gaps is not None))


def _smallest(patterns: np.ndarray, gap_bits: int, rows: int) -> _Choice:
    """The coding with the least bytes, and among equals the simplest."""
    choices = [_Choice(raw_values(patterns))]
    found = distinct(patterns, MAX_CENTROIDS + 1)  # zero is in no codebook of a sparse tensor
    shared = found is not None and len(found) > 0
    if shared and len(found) <= MAX_CENTROIDS:
        choices.append(_Choice(shared_values(found, indices(patterns, found))))
    by_row = row_values(patterns, rows)
    if by_row is not None:
        choices.append(_Choice(by_row))
    choices += _sparse(patterns, gap_bits, found if shared else None)
    return min(choices, key=lambda choice: choice.cost)


def _sparse(patterns: np.ndarray, gap_bits: int, found: np.ndarray | None) -> Iterator[_Choice]:
    entries = int(np.count_nonzero(patterns))
    zeros = len(patterns) - entries
    fewest_gap_bytes = entries / (8 * MAX_BLOCK)
    if not zeros or (found is None and zeros * patterns.itemsize <= fewest_gap_bytes):
        return
    symbols = gap_symbols(patterns, gap_bits)
    stream = PlannedStream(symbols, int(symbols.max()) + 1 if len(symbols) else 1)
    gaps = GapRecord(gap_bits, entries, stream.record)
    written = patterns[patterns != 0]
    ways = [raw_values(written)]
    if found is not None and entries:
        codebook = found[found != 0]
        ways.append(shared_values(codebook, indices(written, codebook)))
    for way in ways:
        choice = _Choice(way, gaps, stream)
        if patterns.nbytes <= MAX_GROWTH * choice.size:
            yield choice


def decode_tensor(record: TensorRecord, data: bytearray) -> DecodedTensor:
    """The tensor that `encode_tensor` coded.

    Args:
        record: checked.
        data: its ``record.size`` bytes; the tensor may keep them as its memory.

    Raises:
        CompressionError: the bytes are not what the record says.
    """
    if zlib.crc32(data) != record.crc:
        raise CompressionError('its checksum is wrong: the file is damaged')
    ends = np.cumsum(record.part_sizes())
    whole = memoryview(data)
    codebook, gap_data, value_data = whole[: ends[0]], whole[ends[0] : ends[1]], whole[ends[1] :]
    symbols = []
    gaps = np.zeros(0, np.uint8)
    if record.gaps is not None:
        gaps = decode_stream(record.gaps.stream, gap_data)
        _check_gaps(record, gaps)
        symbols.append(gaps)
    patterns, coded = decode_values(record, codebook, value_data)
    if coded is not None:
        symbols.append(coded)
    if record.gaps is not None:
        patterns = _scatter(record, gaps, patterns)
    tensor = from_patterns(patterns, record.file_dtype, record.shape)
    if record.stored:
        tensor = tensor.to(ELEMENT_TYPES[record.dtype].dtype)
    return DecodedTensor(tensor, tuple(symbols))


def _check_gaps(record: TensorRecord, gaps: np.ndarray) -> None:
    filler = (1 << record.gaps.bits) - 1
    if int((gaps != filler).sum()) != record.gaps.entries:
        raise CompressionError('there are more gaps than values, or fewer')
    if reach(gaps, record.gaps.bits) > record.elements:
        raise CompressionError('a gap leads behind the end of the tensor')


def _scatter(record: TensorRecord, gaps: np.ndarray, values: np.ndarray) -> np.ndarray:
    patterns = np.zeros(record.elements, values.dtype)
    begin = 0
    for places in positions(gaps, record.gaps.bits):
        patterns[places] = values[begin : begin + len(places)]
        begin += len(places)
    return patterns
