"""What the index of a packed file says of one tensor, and whether that is possible at all.

A file may come from anywhere. Every number of a record is checked against the others and against
the bytes that are really there before anything of its size is made, and a tensor may not be more
than 1024 times as large as its bytes: a small file cannot ask for much memory.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from mmdet_lcp.codec.codebook import MAX_CENTROIDS
from mmdet_lcp.codec.fixed_bits import index_bits, packed_size
from mmdet_lcp.codec.patterns import ELEMENT_TYPES
from mmdet_lcp.codec.symbol_stream import StreamRecord
from mmdet_lcp.errors import CompressionError

RAW, PACKED, SHARED, ROWS = VALUE_FORMS = ('raw', 'packed', 'shared', 'rows')
MAX_DIMENSIONS = 64
MAX_SIDE = 1 << 40
MAX_GROWTH = 1024  # bytes of a tensor over bytes in the file


@dataclass(frozen=True)
class GapRecord:
    """How the positions of a sparse tensor's entries are written.

    Args:
        bits: of a gap, 1 to 8.
        entries: weights that are not zero.
        stream: the gaps, fillers included.
    """

    bits: int
    entries: int
    stream: StreamRecord

    def check(self, elements: int) -> None:
        """See that the numbers are possible in a tensor of so many elements."""
        self.stream.check()
        possible = (
            1 <= self.bits <= 8
            and self.stream.alphabet <= 1 << self.bits
            and 0 <= self.entries <= min(self.stream.count, elements)
        )
        if not possible:
            raise CompressionError(f'impossible gaps: {self}')


@dataclass(frozen=True)
class TensorRecord:
    """One tensor.

    Args:
        name: its key in the state dict.
        dtype: a name of `ELEMENT_TYPES`.
        shape: of the tensor.
        size: bytes of it in the file.
        crc: CRC-32 of those bytes.
        values: ``'raw'``: element by element; ``'packed'``: a codebook and indices of the same
            number of bits; ``'shared'``: a codebook and Huffman-coded indices; ``'rows'``: as
            packed, with a codebook for each first-axis entry.
        stored: the type of the elements in the file, where it is not `dtype`.
        centroids: entries of a codebook, 1 to 256; 0 where there is none.
        stream: the Huffman-coded indices.
        gaps: given where only the weights that are not zero are written.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int
    crc: int
    values: str = RAW
    stored: str | None = None
    centroids: int = 0
    stream: StreamRecord | None = None
    gaps: GapRecord | None = None

    @property
    def coding(self) -> str:
        """The name of the coding, for people."""
        words = ['sparse'] * (self.gaps is not None) + [self.values]
        return ' '.join(words) + (f' {self.stored}' if self.stored else '')

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def decoded_size(self) -> int:
        """Bytes of the tensor in memory."""
        return self.elements * ELEMENT_TYPES[self.dtype].pattern.itemsize

    @property
    def entries(self) -> int:
        """Number of values that are written."""
        return self.elements if self.gaps is None else self.gaps.entries

    @property
    def file_dtype(self) -> str:
        """The type of the elements in the file."""
        return self.stored or self.dtype

    @property
    def codebooks(self) -> int:
        """Number of codebooks."""
        if self.values == ROWS:
            return self.shape[0]
        return int(self.values != RAW)

    @property
    def _has_rows(self) -> bool:
        """Whether there can be a codebook for each row."""
        return self.gaps is None and len(self.shape) > 1 and self.elements > 0

    def part_sizes(self) -> tuple[int, int, int]:
        """Bytes of the codebooks, of the gaps and of the values, in this order in the file."""
        itemsize = ELEMENT_TYPES[self.file_dtype].pattern.itemsize
        if self.values == RAW:
            values = self.entries * itemsize
        elif self.values in (PACKED, ROWS):
            values = packed_size(self.entries, index_bits(self.centroids))
        else:
            values = self.stream.size
        codebooks = self.codebooks * self.centroids * itemsize
        return codebooks, self.gaps.stream.size if self.gaps else 0, values

    def check(self) -> None:
        """See that the numbers are possible.

        Raises:
            CompressionError: they are not.
        """
        fits = (
            len(self.shape) <= MAX_DIMENSIONS
            and all(0 <= side <= MAX_SIDE for side in self.shape)
            and math.prod(max(side, 1) for side in self.shape) < 1 << 60
            and self.dtype in ELEMENT_TYPES
            and self.values in VALUE_FORMS
            and self.stored in (None, 'float16')
            and (self.stored is None or (self.dtype, self.values) == ('float32', RAW))
            and (self.stored is None or self.gaps is None)
            and self.centroids <= MAX_CENTROIDS
            and (self.centroids > 0) == (self.values != RAW)
            and (self.stream is not None) == (self.values == SHARED)
            and (self.values != ROWS or self._has_rows)
        )
        if not fits:
            raise CompressionError(f'impossible record: {self.to_dict()}')
        if self.gaps is not None:
            self.gaps.check(self.elements)
        if self.stream is not None:
            self.stream.check()
            if (self.stream.count, self.stream.alphabet) != (self.entries, self.centroids):
                raise CompressionError(f'values and codebook do not fit: {self.to_dict()}')
        if sum(self.part_sizes()) != self.size:
            raise CompressionError(f'the parts are not as large as the whole: {self.to_dict()}')
        if self.decoded_size > MAX_GROWTH * self.size:
            raise CompressionError(
                f'{self.size} bytes claim to be a tensor of {self.decoded_size}, more than '
                f'{MAX_GROWTH} times as much'
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the index; what has its usual value is left out."""
        data = {'name': self.name, 'dtype': self.dtype, 'shape': list(self.shape)}
        data.update(size=self.size, crc=self.crc)
        if self.values != RAW:
            data.update(values=self.values, centroids=self.centroids)
        if self.stored:
            data['stored'] = self.stored
        if self.stream:
            data['stream'] = list(dataclasses.astuple(self.stream))
        if self.gaps:
            data['gaps'] = [self.gaps.bits, self.gaps.entries]
            data['gap_stream'] = list(dataclasses.astuple(self.gaps.stream))
        return data

    @classmethod
    def from_dict(cls, data: Any) -> 'TensorRecord':
        """Read and check what `to_dict` wrote, or what somebody made to look like it.

        Raises:
            CompressionError: it is no record of a tensor that could be.
        """
        if not isinstance(data, dict):
            raise CompressionError('a record is no mapping')
        unknown = sorted(map(str, set(data) - _KEYS))
        missing = sorted({'name', 'dtype', 'shape', 'size', 'crc'} - set(data))
        if unknown or missing:
            raise CompressionError(f'a record has unknown keys {unknown} or lacks {missing}')
        gaps = None
        if 'gaps' in data or 'gap_stream' in data:
            bits, entries = _numbers(data, 'gaps', 2)
            gaps = GapRecord(bits, entries, StreamRecord(*_numbers(data, 'gap_stream', 4)))
        record = cls(
            name=_text(data, 'name'),
            dtype=_text(data, 'dtype'),
            shape=_numbers(data, 'shape'),
            size=_number(data, 'size'),
            crc=_number(data, 'crc'),
            values=_text(data, 'values', RAW),
            stored=_text(data, 'stored') if 'stored' in data else None,
            centroids=_number(data, 'centroids', 0),
            stream=StreamRecord(*_numbers(data, 'stream', 4)) if 'stream' in data else None,
            gaps=gaps,
        )
        try:
            record.check()
        except CompressionError as error:
            raise CompressionError(f'{record.name}: {error}') from error
        return record


_KEYS = {field.name for field in dataclasses.fields(TensorRecord)} | {'gap_stream'}


def _text(data: dict[str, Any], key: str, otherwise: str | None = None) -> str:
    value = data.get(key, otherwise)
    if not isinstance(value, str):
        raise CompressionError(f'a record has {key}={value!r:.50}: no text')
    return value


def _number(data: dict[str, Any], key: str, otherwise: int | None = None) -> int:
    value = data.get(key, otherwise)
    if type(value) is not int or value < 0:
        raise CompressionError(f'a record has {key}={value!r:.50}: no whole number from 0')
    return value


def _numbers(data: dict[str, Any], key: str, count: int | None = None) -> tuple[int, ...]:
    values = data.get(key)
    if not isinstance(values, list) or (count is not None and len(values) != count):
        wanted = 'numbers' if count is None else f'{count} numbers'
        raise CompressionError(f'a record has {key}={values!r:.50}: not {wanted}')
    return tuple(_number({key: value}, key) for value in values)
