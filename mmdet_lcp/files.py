"""Files are written whole or not at all, and checkpoints are read without running their code.

A run that is killed in the middle of a write leaves the previous file as it was; nothing that
resumes from the folder ever meets half a file.
"""

import contextlib
import dataclasses
import errno
import json
import math
import os
import pickle
import re
import shutil
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from mmdet_lcp.errors import CompressionError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TEMPORARY = re.compile(r'^\..*\.[0-9a-f]{8}\.tmp(\.\w+)?$')
_PICKLE_HEADS = {bytes([0x80, protocol]) for protocol in range(2, 6)}


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends well.

    The temporary file lies in the same folder (made if it is missing) and keeps the suffix, so
    writers that look at the suffix work. On success it is flushed to the disk and renamed over
    ``path``; on any exception it is removed and ``path`` stays as it was.

    Args:
        path: Where the file is to be.

    Yields:
        The temporary path; it does not exist yet.

    Raises:
        CompressionError: The disk is full.
        FileNotFoundError: The block ended without writing the temporary file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}')
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        if not is_full_disk(error):
            raise
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise CompressionError(
            f'{path}: cannot be written to its end: the disk is full, or no file may be as large '
            f'({shutil.disk_usage(path.parent).free >> 20} MiB are free now). What was there '
            'before is unchanged: make room, and go on from there.'
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    with contextlib.suppress(OSError):  # not every file system can flush a folder
        _flush(path.parent)


def remove_leftovers(folder: str | os.PathLike) -> list[Path]:
    """Remove the temporary files of writers that were killed, below a folder.

    Args:
        folder: nobody else writes there.

    Returns:
        What is gone now.
    """
    found = [path for path in Path(folder).rglob('.*.tmp*') if _TEMPORARY.search(path.name)]
    for path in found:
        with contextlib.suppress(OSError):
            path.unlink()
    return found


def is_full_disk(error: BaseException) -> bool:
    """Whether an error says that there was no room for a file, or that it may not grow."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    # PyTorch's writer loses the number: what it says is that a file is not as long as it wrote.
    text = str(error)
    return isinstance(error, RuntimeError) and (
        'PytorchStreamWriter failed' in text
        or ('inline_container' in text and 'unexpected pos' in text)
    )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def write_json(path: str | os.PathLike, data: Any) -> None:
    """Write ``data`` to ``path`` as strict JSON, whole or not at all.

    Keys keep their order; the indent is 2. Scalars and arrays of numpy and torch, dataclasses,
    paths, tuples and sets (sorted) are converted. NaN and the infinities, which JSON lacks,
    become ``null``.

    Args:
        path: Where the file is to be.
        data: What to write.

    Raises:
        TypeError: ``data`` holds something else; the old file stays.
    """
    text = json.dumps(_plain(data), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + '\n')


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file.

    Raises:
        CompressionError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except OSError as error:
        raise CompressionError(f'{path} cannot be read: {error}') from error
    except (ValueError, RecursionError) as error:
        raise CompressionError(f'{path} cannot be read: it is no JSON ({error})') from error


def _plain(data: Any) -> Any:
    """Turn ``data`` into what ``json`` can write."""
    if isinstance(data, torch.Tensor):
        data = data.detach().cpu().tolist()
    elif isinstance(data, np.ndarray | np.generic):
        data = data.tolist()
    elif dataclasses.is_dataclass(data) and not isinstance(data, type):
        data = dataclasses.asdict(data)
    elif isinstance(data, os.PathLike):
        data = os.fspath(data)
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {_plain(key): _plain(value) for key, value in data.items()}
    if isinstance(data, set | frozenset):
        data = sorted(data)
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    return data


def load_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read all arrays of an ``.npz`` file; one with pickled objects is refused.

    Raises:
        CompressionError: there is no such file, or it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CompressionError(f'{path} is damaged: {error}') from error


def load_torch(path: str | os.PathLike, map_location: Any = 'cpu') -> Any:
    """Read a file that ``torch.save`` wrote, without running code from it.

    Only tensors, plain data and the classes that ``torch.serialization.add_safe_globals``
    allows are read; there is no fall-back to the unsafe way.

    Args:
        path: The file.
        map_location: As in ``torch.load``.

    Returns:
        What the file holds, usually a dict.

    Raises:
        CompressionError: The file is missing, unreadable, cut short, no checkpoint at all, or
            holds objects that are not plain weights.
    """
    path = Path(path)
    if not path.exists():
        raise CompressionError(f'{path}: there is no such file; check the path.')
    if path.is_dir():
        raise CompressionError(f'{path}: is a folder; name the checkpoint (*.pth) inside it.')
    try:
        _check_sums(path)
        return torch.load(path, map_location=map_location, weights_only=True)
    except PermissionError as error:
        raise CompressionError(f'{path}: may not be read; check its permissions.') from error
    except CompressionError:
        raise
    except Exception as error:  # a damaged file can fail in any operation of the reader
        raise CompressionError(_load_failure(path, error)) from error


def _check_sums(path: Path) -> None:
    """Compare the checksums that PyTorch writes, and does not compare when it reads.

    Raises:
        CompressionError: a part of the file is not what was written.
        Exception: of many kinds, where it is cut short.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as file:
        damaged = file.testzip()
    if damaged is not None:
        raise CompressionError(
            f'{path}: is damaged, the checksum of {damaged} in it is wrong; copy or download it '
            'again, or use an earlier one. (If it was written without checksums, by '
            'torch.serialization.set_crc32_options(False), save it again with them.)'
        )


def load_torch_bytes(file: BinaryIO, map_location: Any = None) -> Any:
    """As `load_torch`, of an open file, with PyTorch's own errors.

    Raises:
        Exception: of many kinds, where the file is damaged or holds more than plain weights.
    """
    return torch.load(file, map_location=map_location, weights_only=True)


def _load_failure(path: Path, error: Exception) -> str:
    """Say in the user's words why ``torch.load`` failed."""
    text = str(error)
    if 'CUDA device' in text:
        return (
            f"{path}: was saved on a GPU that this machine lacks; read it with map_location='cpu'."
        )
    refused = re.search(r'GLOBAL ([\w.]+)', text)
    with path.open('rb') as file:
        head = file.read(2)
    whole_zip = head == b'PK' and isinstance(error, pickle.UnpicklingError)
    if refused or whole_zip or (head in _PICKLE_HEADS and 'Unsupported' in text):
        what = f' ({refused.group(1)})' if refused else ''
        return (
            f'{path}: holds objects that are not plain weights{what}, and reading them could run '
            'code from the file, so it was refused. Where you trust its origin, load it where it '
            "was made and save only the weights: torch.save({'state_dict': model.state_dict()}, "
            'path).'
        )
    return (
        f'{path}: is cut short or no torch checkpoint ({path.stat().st_size} bytes); copy or '
        'download it again, or use an earlier one.'
    )
