"""The size of a detector's file: its weights, and what names its classes; no optimizer."""

import io
from typing import Any

import torch
from torch import nn


def weight_bytes(detector: nn.Module, meta: dict[str, Any] | None = None) -> int:
    """Size of a checkpoint that holds the weights alone, as compressed ones are handed out.

    Args:
        detector: any module.
        meta: what else the checkpoint holds, such as ``dataset_meta``.
    """
    buffer = io.BytesIO()
    more = {} if meta is None else {'meta': meta}
    torch.save({**more, 'state_dict': detector.state_dict()}, buffer)
    return buffer.tell()
