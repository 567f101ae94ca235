"""Updates: what happens to the consumers' kernels after a selection."""

from mmdet_lcp.pruning.updates.base import Update
from mmdet_lcp.pruning.updates.channel_scale import ChannelScaleUpdate
from mmdet_lcp.pruning.updates.exact import ExactUpdate
from mmdet_lcp.pruning.updates.none import NoUpdate
from mmdet_lcp.pruning.updates.sgd import SGDUpdate

__all__ = ['ChannelScaleUpdate', 'ExactUpdate', 'NoUpdate', 'SGDUpdate', 'Update']
