"""Write a packed file tensor by tensor; only one of them is coded at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from mmdet_lcp.codec.layout import (
    END,
    HEAD,
    MAGIC,
    TAIL,
    UNHASHED,
    VERSION,
    compress_index,
    new_digest,
)
from mmdet_lcp.codec.plain_data import to_json
from mmdet_lcp.codec.record import TensorRecord
from mmdet_lcp.codec.settings import PackSettings
from mmdet_lcp.codec.tensor_coding import encode_tensor
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import atomic_path


class PackedWriter:
    """Writes to an open file; `open_writer` makes one.

    Args:
        file: open for writing, empty.
        settings: how to pack.
    """

    def __init__(self, file: BinaryIO, settings: PackSettings) -> None:
        self.settings = settings
        self.records: dict[str, TensorRecord] = {}
        self.contents: dict[str, Any] = {'config': {}, 'meta': {}}
        self._file = file
        self._digest = new_digest()
        self._write(HEAD.pack(MAGIC, VERSION))

    def add(self, name: str, tensor: Tensor) -> TensorRecord:
        """Write one tensor.

        Args:
            name: its key in the state dict; none twice.
            tensor: any shape and device.

        Raises:
            CompressionError: it cannot be packed, or the name is there already.
        """
        if name in self.records:
            raise CompressionError(f'{name}: is there already')
        record, data = encode_tensor(name, tensor, self.settings)
        self._write(data)
        self.records[name] = record
        return record

    def describe(self, config: dict[str, Any], meta: dict[str, Any]) -> None:
        """Say what goes into the index beside the tensors: plain data, as in `plain_data`."""
        self.contents = {'config': config, 'meta': meta}

    def finish(self) -> None:
        """Write index and tail; nothing can be added after it."""
        tensors = [record.to_dict() for record in self.records.values()]
        text = to_json({'tensors': tensors, **self.contents})
        index = compress_index(text)
        self._write(index)
        tail = TAIL.pack(len(index), len(text), bytes(32), END)
        self._write(tail[:-UNHASHED])
        self._file.write(self._digest.digest() + END)

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)


@contextmanager
def open_writer(
    path: str | os.PathLike, settings: PackSettings | None = None
) -> Iterator[PackedWriter]:
    """A writer to ``path``; the file is there, whole, when the block has ended well.

    Args:
        path: where the file is to be.
        settings: the usual ones unless given.
    """
    with atomic_path(Path(path)) as temporary, temporary.open('wb') as file:
        writer = PackedWriter(file, settings or PackSettings())
        yield writer
        writer.finish()
