"""What a packed file takes for each tensor, beside the entropy of its own streams."""

from collections.abc import Iterator
from dataclasses import dataclass

from mmdet_lcp.codec.reader import PackedReader
from mmdet_lcp.codec.record import TensorRecord
from mmdet_lcp.codec.symbol_stream import entropy


@dataclass(frozen=True)
class TensorFacts:
    """One tensor in numbers; sizes in bytes.

    Args:
        record: what the file says of it.
        stream_size: of its Huffman codewords, without tables.
        entropy_size: what those symbols take at their entropy, symbol by symbol.
        table_size: of its code tables.
    """

    record: TensorRecord
    stream_size: int
    entropy_size: float
    table_size: int

    @property
    def bound(self) -> float:
        """The tensor with its streams at their entropy; everything else as it is."""
        return self.record.size - self.stream_size - self.table_size + self.entropy_size

    @property
    def bits_per_weight(self) -> float:
        """Bits in the file for each element; 0 for an empty tensor."""
        return 8 * self.record.size / max(self.record.elements, 1)

    @property
    def factor(self) -> float:
        """Bytes in memory over bytes in the file; 1 for an empty tensor."""
        return self.record.decoded_size / self.record.size if self.record.size else 1.0


def tensor_facts(packed: PackedReader) -> Iterator[TensorFacts]:
    """Decode every tensor and say what it takes.

    Raises:
        CompressionError: one of them cannot be decoded.
    """
    for name, record in packed.records.items():
        symbols = packed.decode(name).symbols
        streams = [record.gaps.stream] if record.gaps else []
        streams += [record.stream] if record.stream else []
        codewords = [(stream.bits + 7) // 8 for stream in streams]
        yield TensorFacts(
            record,
            stream_size=sum(codewords),
            entropy_size=sum(len(part) * entropy(part) / 8 for part in symbols),
            table_size=sum(stream.size for stream in streams) - sum(codewords),
        )
