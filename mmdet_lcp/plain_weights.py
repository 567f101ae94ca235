"""Checkpoints that any tool of mmdet reads: a detector's weights under its own names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import atomic_path, load_torch


def read_weights(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights by name, without ``module.`` of a wrapper in front, and meta.

    Args:
        path: a checkpoint of mmengine's (``state_dict`` inside) or a bare state dict.

    Returns:
        The weights, and the checkpoint's ``meta``, or an empty dict.

    Raises:
        CompressionError: the file cannot be read (`load_torch`), or holds no weights.
    """
    checkpoint = load_torch(path)
    weights = checkpoint
    if isinstance(checkpoint, Mapping):
        weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, Mapping) or not weights:
        raise CompressionError(f'{path}: holds no state_dict; name a checkpoint of the detector')
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CompressionError(
                f'{path}: holds no state_dict, {name} is a {type(value).__name__}, not a tensor; '
                'name a checkpoint of the detector'
            )
    meta = checkpoint.get('meta') if 'state_dict' in checkpoint else None
    return {name.removeprefix('module.'): value for name, value in weights.items()}, meta or {}


def write_weights(path: Path, weights: Mapping[str, Tensor], meta: dict[str, Any]) -> None:
    """Write a checkpoint, atomically, with its weights in main memory.

    Args:
        path: where to.
        weights: the detector's state dict.
        meta: plain data (``dataset_meta`` with the class names).
    """
    weights = {name: value.cpu() for name, value in weights.items()}
    with atomic_path(path) as temporary:
        torch.save({'meta': meta, 'state_dict': weights}, temporary)
