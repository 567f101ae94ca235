"""PruningRunner, its stages and its state on disk; SensitivityRunner; MimicRunner."""

from .config import PruningConfig
from .mimic.mimic_runner import MimicRunner
from .pruning_runner import PruningRunner
from .sensitivity import SensitivityRunner

__all__ = ['MimicRunner', 'PruningConfig', 'PruningRunner', 'SensitivityRunner']
