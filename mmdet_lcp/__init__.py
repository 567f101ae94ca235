"""mmdet_lcp: make an MMDetection detector small and fast by inheriting one config."""

from mmdet_lcp import compat
from mmdet_lcp.moved import moved_attribute as __getattr__  # noqa: F401
from mmdet_lcp.moved import tell_moved_modules
from mmdet_lcp.version import __version__

compat.apply()
tell_moved_modules()

# Importing them puts everything into the registries.
from mmdet_lcp import codec, datasets, losses, models, transforms  # noqa: E402
from mmdet_lcp.auxiliary import discrimination_auxiliary, localization_auxiliary  # noqa: E402, F401
from mmdet_lcp.chain.runner import ChainRunner  # noqa: E402
from mmdet_lcp.distillation.runner import MimicRunner  # noqa: E402
from mmdet_lcp.engine import bfloat16 as _bfloat16  # noqa: E402, F401
from mmdet_lcp.errors import CompressionError  # noqa: E402
from mmdet_lcp.graph import Plan, apply_plan, find_groups, mask_plan  # noqa: E402
from mmdet_lcp.pruning import criteria as _criteria  # noqa: E402, F401
from mmdet_lcp.pruning import updates as _updates  # noqa: E402, F401
from mmdet_lcp.pruning.api import prune  # noqa: E402
from mmdet_lcp.pruning.result import PruningResult, explain, load, save  # noqa: E402
from mmdet_lcp.pruning.runner import PruningRunner  # noqa: E402
from mmdet_lcp.pruning.sensitivity import SensitivityRunner  # noqa: E402
from mmdet_lcp.weight_compression import WeightCompressionRunner  # noqa: E402

__all__ = [
    'ChainRunner',
    'CompressionError',
    'MimicRunner',
    'Plan',
    'PruningResult',
    'PruningRunner',
    'SensitivityRunner',
    'WeightCompressionRunner',
    '__version__',
    'apply_plan',
    'codec',
    'datasets',
    'explain',
    'find_groups',
    'load',
    'losses',
    'mask_plan',
    'models',
    'prune',
    'save',
    'transforms',
]
