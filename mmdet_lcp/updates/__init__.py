"""Updates: what happens to the consumers' kernels after a selection."""

from .base import Update
from .none import NoUpdate
from .sgd import SGDUpdate

__all__ = ['NoUpdate', 'SGDUpdate', 'Update']
