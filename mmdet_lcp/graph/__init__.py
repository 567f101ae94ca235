"""Groups of channels, plans and surgery: knows nothing of losses or training."""

from mmdet_lcp.graph.finding import find_groups
from mmdet_lcp.graph.groups import ChannelGroup, Member
from mmdet_lcp.graph.layer_kinds import LayerKind
from mmdet_lcp.graph.plan import Kept, Plan
from mmdet_lcp.graph.surgery import apply_plan, axis_sizes, mask_plan

__all__ = [
    'ChannelGroup',
    'Kept',
    'LayerKind',
    'Member',
    'Plan',
    'apply_plan',
    'axis_sizes',
    'find_groups',
    'mask_plan',
]
