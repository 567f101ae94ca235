"""Read a packed file, which may come from anywhere: whatever is wrong is a `CompressionError`.

The digest of the whole file is compared first, so damage is found before anything is decoded. It
is no signature: somebody may have made a file on purpose. So sizes are checked before memory is
taken (`record`), nothing of the file is run, and each tensor's own checksum is compared again when
it is read.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from mmdet_lcp.codec.layout import (
    END,
    HEAD,
    MAGIC,
    READABLE,
    TAIL,
    UNHASHED,
    expand_index,
    new_digest,
)
from mmdet_lcp.codec.plain_data import from_json
from mmdet_lcp.codec.record import ROWS, TensorRecord
from mmdet_lcp.codec.tensor_coding import DecodedTensor, decode_tensor
from mmdet_lcp.errors import CompressionError

CHUNK = 1 << 20


class PackedReader:
    """The index of a packed file, and its tensors one by one.

    Args:
        path: the file. It is opened anew for each tensor and must not change meanwhile.

    Attributes:
        records: what the file says of each tensor, by name, in the state dict's order.
        config: of the detector, as plain data.
        meta: of the checkpoint (``dataset_meta`` with the class names, ...).
        file_size: in bytes.
        index_size: bytes of the file that are no tensor's.

    Raises:
        CompressionError: there is no such file, it is damaged or none of ours.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise CompressionError(f'{self.path}: there is no such file')
        try:
            self._open()
        except OSError as error:
            raise CompressionError(f'{self.path}: cannot be read: {error}') from error
        except CompressionError as error:
            raise CompressionError(f'{self.path}: {error}') from error

    def read(self, name: str) -> Tensor:
        """One tensor, on the CPU.

        Raises:
            CompressionError: it cannot be decoded, or there is none of this name.
        """
        return self.decode(name).tensor

    def decode(self, name: str) -> DecodedTensor:
        """One tensor, with the symbols that it was made of.

        Raises:
            CompressionError: it cannot be decoded, or there is none of this name.
        """
        if name not in self.records:
            raise CompressionError(f'{self.path}: holds no tensor {name!r}')
        record = self.records[name]
        data = bytearray(record.size)
        try:
            with self.path.open('rb') as file:
                file.seek(self._begins[name])
                complete = file.readinto(data) == record.size
        except OSError as error:
            raise CompressionError(f'{self.path}: cannot be read: {error}') from error
        if not complete:
            raise CompressionError(f'{self.path}: has become shorter while it was read')
        try:
            return decode_tensor(record, data)
        except CompressionError as error:
            raise CompressionError(f'{self.path}: {name}: {error}') from error

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All tensors, one after the other."""
        for name in self.records:
            yield name, self.read(name)

    def _open(self) -> None:
        self.file_size = self.path.stat().st_size
        with self.path.open('rb') as file:
            head = file.read(HEAD.size)
            if len(head) < HEAD.size or not head.startswith(MAGIC):
                raise CompressionError(
                    'is no packed detector (mmdet-lcp pack makes them), or its beginning is '
                    'damaged'
                )
            _, version = HEAD.unpack(head)
            if version not in READABLE:
                raise CompressionError(
                    f'has version {version} of the format, or is damaged; this mmdet_lcp reads '
                    f'versions {READABLE[0]} to {READABLE[-1]}'
                )
            if self.file_size < HEAD.size + TAIL.size:
                raise CompressionError('is cut short; copy or download it again')
            file.seek(self.file_size - TAIL.size)
            index_size, text_size, digest, end = TAIL.unpack(file.read(TAIL.size))
            if end != END:
                raise CompressionError('is cut short or damaged; copy or download it again')
            if self._digest(file) != digest:
                raise CompressionError(
                    'is damaged: its checksum is wrong; copy or download it again'
                )
            index_at = self.file_size - TAIL.size - index_size
            if index_at < HEAD.size:
                raise CompressionError('its index is larger than the file')
            file.seek(index_at)
            text = expand_index(file.read(index_size), text_size)
        self.index_size = self.file_size - index_at + HEAD.size
        self._take_index(from_json(text), index_at, version)

    def _digest(self, file: Any) -> bytes:
        digest = new_digest()
        file.seek(0)
        left = self.file_size - UNHASHED
        while left > 0:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                raise CompressionError('has become shorter while it was read')
            digest.update(chunk)
            left -= len(chunk)
        return digest.digest()

    def _take_index(self, index: Any, index_at: int, version: int) -> None:
        if not isinstance(index, dict) or set(index) != {'tensors', 'config', 'meta'}:
            raise CompressionError('its index does not hold tensors, config and meta')
        self.config, self.meta = index['config'], index['meta']
        for key in ('config', 'meta'):
            keys = index[key] if isinstance(index[key], dict) else [None]
            if not all(isinstance(name, str) for name in keys):
                raise CompressionError(f'its {key} is not a mapping of names')
        if not isinstance(index['tensors'], list):
            raise CompressionError('its index holds no list of tensors')
        self.records: dict[str, TensorRecord] = {}
        self._begins: dict[str, int] = {}
        begin = HEAD.size
        for data in index['tensors']:
            record = TensorRecord.from_dict(data)
            if record.values == ROWS and version < 2:
                raise CompressionError(
                    f'{record.name}: codebooks by row, which version {version} does not have'
                )
            if record.name in self.records:
                raise CompressionError(f'{record.name}: is there twice')
            self.records[record.name] = record
            self._begins[record.name] = begin
            begin += record.size
        if begin != index_at:
            raise CompressionError('its tensors do not fill the room before the index')
