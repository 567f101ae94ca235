"""mmengine: every checkpoint that it reads comes through this package's door, `load_torch`.

``load_from``, ``resume``, ``init_cfg=dict(type='Pretrained')`` and mmdet's ``init_detector`` end
in mmengine's loaders. Those take ``torch.load`` as it is (before torch 2.6: any code in the file
is run). onedl-mmengine allows ``getattr`` and other names while it reads, takes what somebody had
allowed under the same names off torch's list at the end, and reads a file that the check refuses
again without it. What is fetched from an address PyTorch itself reads without the check.
"""

from __future__ import annotations

import inspect
import os
from functools import partial
from typing import Any

from mmdet_lcp.files import load_torch, load_torch_bytes


def checkpoints_read_safely() -> None:
    """Take the place of mmengine's readers; what they fetch, and from where, stays theirs."""
    from mmengine.runner import CheckpointLoader, checkpoint

    CheckpointLoader.register_scheme(prefixes='', loader=load_from_local, force=True)
    if hasattr(checkpoint, '_safe_torch_load'):  # onedl-mmengine's
        checkpoint._safe_torch_load = read_checked
    if 'weights_only' in inspect.signature(_plain(checkpoint.load_url)).parameters:
        checkpoint.load_url = partial(_plain(checkpoint.load_url), weights_only=True)


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """As mmengine's of the same name, through `load_torch`.

    Raises:
        FileNotFoundError: as mmengine's.
        CompressionError: the file cannot be read without running code from it.
    """
    filename = os.path.expanduser(filename)
    if not os.path.isfile(filename):
        raise FileNotFoundError(f'{filename} can not be found.')
    return load_torch(filename, map_location)


def read_checked(file: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
    """As onedl-mmengine's ``_safe_torch_load``, but a file that is refused stays refused.

    Args:
        file: a path, or an open file.
        map_location: as in ``torch.load``.
        weights_only: is not heeded; it is always true.
    """
    if isinstance(file, str | os.PathLike):
        return load_torch(file, map_location)
    return load_torch_bytes(file, map_location)


def _plain(function: Any) -> Any:
    """What is inside of a `partial`, which a second call must not pile up."""
    return function.func if isinstance(function, partial) else function
