"""Packages that prune by themselves: where they are named, and how they are imported."""

import importlib
from types import ModuleType

from mmdet_lcp.errors import CompressionError

NAMES = {'torch_pruning': 'Torch-Pruning', 'torch_kirigami': 'torch-kirigami'}
"""What each calls itself, by its module."""


def package(module: str) -> ModuleType:
    """One of `NAMES`, or a module inside of it, imported.

    Raises:
        CompressionError: it is not installed.
    """
    root = module.partition('.')[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CompressionError(
            f'{NAMES[root]} is not installed, which the methods {root}_... run: '
            f"pip install 'mmdet_lcp[peers]', or pip install {root.replace('_', '-')}"
        ) from error
