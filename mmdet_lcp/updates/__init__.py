"""Updates: what happens to the consumers' kernels after a selection."""

from .base import Update
from .channel_scale import ChannelScaleUpdate
from .exact import ExactUpdate
from .none import NoUpdate
from .sgd import SGDUpdate

__all__ = ['ChannelScaleUpdate', 'ExactUpdate', 'NoUpdate', 'SGDUpdate', 'Update']
