"""mmdet_lcp: make an MMDetection detector small and fast by inheriting one config."""

from mmdet_lcp import compat
from mmdet_lcp.moved import tell_moved_modules
from mmdet_lcp.version import __version__

compat.apply()
tell_moved_modules()

# Importing them puts everything into the registries.
from mmdet_lcp import codec, datasets, losses, models, transforms  # noqa: E402
from mmdet_lcp.auxiliary import discrimination_auxiliary, localization_auxiliary  # noqa: E402, F401
from mmdet_lcp.chain.runner import ChainRunner  # noqa: E402
from mmdet_lcp.distillation.runner import MimicRunner  # noqa: E402
from mmdet_lcp.errors import CompressionError  # noqa: E402
from mmdet_lcp.pruning import criteria, updates  # noqa: E402
from mmdet_lcp.pruning.runner import PruningRunner  # noqa: E402
from mmdet_lcp.pruning.sensitivity import SensitivityRunner  # noqa: E402
from mmdet_lcp.weight_compression import WeightCompressionRunner  # noqa: E402

__all__ = [
    'ChainRunner',
    'CompressionError',
    'MimicRunner',
    'PruningRunner',
    'SensitivityRunner',
    'WeightCompressionRunner',
    '__version__',
    'codec',
    'criteria',
    'datasets',
    'losses',
    'models',
    'transforms',
    'updates',
]
