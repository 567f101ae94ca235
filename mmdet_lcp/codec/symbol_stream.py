"""A run of small integers, Huffman coded: the centroids of a layer's weights, or their gaps.

Han et al., "Deep Compression", ICLR 2016, section 4. A codeword has at least one bit, so where one
symbol has most of the probability (two centroids, short gaps) Huffman's code is far from the
entropy. There, several symbols in a row are coded as one: `block` of them together have
alphabet ** block values, and the wasted part of a bit is shared by all of them.
"""

from dataclasses import dataclass

import numpy as np
from bitarray import bitarray
from bitarray.util import canonical_decode

from mmdet_lcp.codec.prefix_code import (
    canonical_form,
    code_lengths,
    codewords,
    read_table,
    table_size,
    write_table,
)
from mmdet_lcp.errors import CompressionError

MAX_CODE_SYMBOLS = 4096  # of a block; its table then has 2 kB
MAX_BLOCK = 12  # 2 ** 12 symbols
WASTE = 1.01  # blocks are tried where single symbols take more than this times the entropy


@dataclass(frozen=True)
class StreamRecord:
    """What has to be known to read a stream, beside its bytes.

    Args:
        count: symbols in it.
        alphabet: each is below this; 1 to 256.
        block: symbols that one codeword stands for, 1 to 12; the last block is filled with 0.
        bits: of all codewords together.
    """

    count: int
    alphabet: int
    block: int
    bits: int

    @property
    def size(self) -> int:
        """Bytes of the stream: its table and its codewords. None for a stream of no symbols."""
        if self.count == 0:
            return 0
        return table_size(self.alphabet**self.block) + (self.bits + 7) // 8

    def check(self) -> None:
        """See that the numbers are possible, before anything of their size is made.

        Raises:
            CompressionError: they are not.
        """
        possible = (
            self.count >= 0
            and 1 <= self.alphabet <= 256
            and 1 <= self.block <= MAX_BLOCK
            and self.alphabet**self.block <= MAX_CODE_SYMBOLS
            and _blocks(self.count, self.block) <= self.bits
            and (self.count > 0 or self.bits == 0)
        )
        if not possible:
            raise CompressionError(f'impossible stream of symbols: {self}')


class PlannedStream:
    """The best code for a run of symbols; its size is known before it is encoded.

    Args:
        symbols: one dimension, uint8.
        alphabet: each symbol is below this.
    """

    def __init__(self, symbols: np.ndarray, alphabet: int) -> None:
        self.symbols = symbols
        self.lengths, self.record = _code(symbols, alphabet, 1)
        if self.record.bits <= WASTE * len(symbols) * entropy(symbols):
            return
        for block in range(2, MAX_BLOCK + 1):
            if alphabet**block > MAX_CODE_SYMBOLS or block > len(symbols):
                break
            lengths, record = _code(symbols, alphabet, block)
            if record.size < self.record.size:
                self.lengths, self.record = lengths, record

    def encode(self) -> bytes:
        """Table and codewords."""
        if not len(self.symbols):
            return b''
        blocks = _join(self.symbols, self.record.alphabet, self.record.block)
        bits = bitarray(endian='big')
        bits.encode(codewords(self.lengths), memoryview(blocks))
        return write_table(self.lengths) + bits.tobytes()


def decode_stream(record: StreamRecord, data: memoryview) -> np.ndarray:
    """The symbols of a stream.

    Args:
        record: checked, and of ``data``'s size.
        data: as `PlannedStream.encode` gave it.

    Returns:
        ``record.count`` symbols, uint8.

    Raises:
        CompressionError: the data is not a stream of this record's.
    """
    if record.count == 0:
        return np.zeros(0, np.uint8)
    size = table_size(record.alphabet**record.block)
    lengths = read_table(data[:size], record.alphabet**record.block)
    bits = bitarray(endian='big', buffer=data[size:])
    if bits[record.bits :].any():
        raise CompressionError('a stream of symbols goes on behind its end')
    decoded = canonical_decode(bits[: record.bits], *canonical_form(lengths))
    count = _blocks(record.count, record.block)
    try:
        blocks = np.fromiter(decoded, np.uint16, count)
        ended = next(decoded, None) is None
    except ValueError as error:
        raise CompressionError(f'a stream of symbols breaks off: {error}') from error
    if not ended:
        raise CompressionError('a stream holds more symbols than it should')
    return _split(blocks, record)


def entropy(symbols: np.ndarray) -> float:
    """Shannon's entropy of the symbols' frequencies, in bits a symbol; 0 for none."""
    counts = np.bincount(symbols) if len(symbols) else np.zeros(0)
    share = counts[counts > 0] / max(len(symbols), 1)
    return float(-(share * np.log2(share)).sum())


def _blocks(count: int, block: int) -> int:
    return -(-count // block)


def _code(symbols: np.ndarray, alphabet: int, block: int) -> tuple[np.ndarray, StreamRecord]:
    if not len(symbols):
        return np.zeros(0, np.uint8), StreamRecord(0, alphabet, 1, 0)
    counts = np.bincount(_join(symbols, alphabet, block), minlength=alphabet**block)
    lengths = code_lengths(counts)
    bits = int(counts @ lengths.astype(np.int64))
    return lengths, StreamRecord(len(symbols), alphabet, block, bits)


def _join(symbols: np.ndarray, alphabet: int, block: int) -> np.ndarray:
    """Blocks as numbers of ``block`` digits to the base ``alphabet``, the first one leading."""
    if block == 1:
        return symbols
    digits = np.zeros((_blocks(len(symbols), block), block), np.uint8)
    digits.reshape(-1)[: len(symbols)] = symbols
    joined = np.zeros(len(digits), np.uint16)
    for column in digits.T:
        joined = joined * np.uint16(alphabet) + column
    return joined


def _split(blocks: np.ndarray, record: StreamRecord) -> np.ndarray:
    if record.block == 1:
        return blocks.astype(np.uint8)
    places = record.alphabet ** np.arange(record.block - 1, -1, -1)
    numbers = np.arange(record.alphabet**record.block)
    digits = (numbers[:, None] // places % record.alphabet).astype(np.uint8)
    symbols = digits[blocks].reshape(-1)
    if symbols[record.count :].any():
        raise CompressionError('a stream of symbols goes on behind its end')
    return symbols[: record.count]
