"""mmdet_lcp: make an MMDetection detector small and fast by inheriting one config."""

from mmdet_lcp import compat
from mmdet_lcp.version import __version__

compat.apply()

# Importing them puts everything into the registries.
from mmdet_lcp import (  # noqa: E402
    attachments,
    codec,
    criteria,
    datasets,
    losses,
    models,
    runner,
    transforms,
    updates,
)
from mmdet_lcp.errors import CompressionError  # noqa: E402

__all__ = [
    'CompressionError',
    '__version__',
    'attachments',
    'codec',
    'criteria',
    'datasets',
    'losses',
    'models',
    'runner',
    'transforms',
    'updates',
]
