"""Updates: what happens to the consumers' kernels after a selection."""

from .base import Update
from .exact import ExactUpdate
from .none import NoUpdate
from .sgd import SGDUpdate

__all__ = ['ExactUpdate', 'NoUpdate', 'SGDUpdate', 'Update']
