"""The runners: pruning, weight compression, mimic, sensitivity, chains of them; their state."""

from .chain import ChainRunner
from .config import PruningConfig
from .mimic.mimic_runner import MimicRunner
from .pruning_runner import PruningRunner
from .sensitivity import SensitivityRunner
from .weight_compression import WeightCompressionRunner

__all__ = [
    'ChainRunner',
    'MimicRunner',
    'PruningConfig',
    'PruningRunner',
    'SensitivityRunner',
    'WeightCompressionRunner',
]
