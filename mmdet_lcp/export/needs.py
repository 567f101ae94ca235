"""Packages that only exporting needs."""

import importlib
from types import ModuleType

from mmdet_lcp.errors import CompressionError

# Extras that do not go into the environment of the pinned versions, and what to do.
APART = {
    'ncnn': 'pip install ncnn, and pip install --no-deps pnnx, which asks for more than it uses',
    'litert': 'it brings jax: make an environment of its own for it, with mmdet in it',
}


def needed(name: str, extra: str = 'export') -> ModuleType:
    """Import a package of an extra.

    Args:
        name: of the module.
        extra: of mmdet_lcp.

    Raises:
        CompressionError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        how = f' ({APART[extra]})' if extra in APART else ''
        raise CompressionError(
            f'exporting needs the package {name.split(".")[0]}: '
            f"pip install 'mmdet_lcp[{extra}]'{how} ({error})"
        ) from error
