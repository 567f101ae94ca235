"""PruningRunner, its stages and its state on disk."""

from .config import PruningConfig
from .pruning_runner import PruningRunner

__all__ = ['PruningConfig', 'PruningRunner']
