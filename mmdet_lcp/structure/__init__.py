"""Groups of channels, plans and surgery: knows nothing of losses or training."""

from .finding import find_groups
from .groups import ChannelGroup, Member
from .plan import Kept, Plan
from .surgery import apply_plan, axis_sizes, mask_plan

__all__ = [
    'ChannelGroup',
    'Kept',
    'Member',
    'Plan',
    'apply_plan',
    'axis_sizes',
    'find_groups',
    'mask_plan',
]
