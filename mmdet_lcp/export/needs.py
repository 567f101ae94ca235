"""Packages that only exporting needs."""

import importlib
from types import ModuleType

from mmdet_lcp.errors import CompressionError


def needed(name: str) -> ModuleType:
    """Import a package of the extra ``export``.

    Raises:
        CompressionError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CompressionError(
            f"exporting needs the package {name.split('.')[0]}: pip install 'mmdet_lcp[export]' "
            f'({error})'
        ) from error
