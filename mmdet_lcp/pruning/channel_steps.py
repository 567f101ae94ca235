"""The numbers of channels that a layer may keep: multiples that runtimes are fast at.

Runtimes work on blocks of channels. ONNX Runtime keeps a convolution in its blocked layout only
if the number of its input channels is a multiple of 4. Measured on x86-64 with AVX2: with half of
the channels less one a whole SSD300 takes a quarter longer there than with half of them, with a
quarter of them less one two fifths longer; depth-wise layers off a multiple of 4 take 5 to 6 times
as long, in ncnn 4 to 5 times. LiteRT's depth-wise kernels step by 8.
"""

import math

from torch import nn

from mmdet_lcp.graph import ChannelGroup, Member
from mmdet_lcp.graph.layer_kinds import kind_of

AUTO = 'auto'
# A step, and how many of it a group has at least: 8 where rounding moves a group by no more than
# an eighth of its channels, 4 and 2 where there is something to choose at all.
_STEPS = ((8, 4), (4, 2), (2, 2))


def step_of(detector: nn.Module, group: ChannelGroup, divisor: int | str) -> int:
    """By how many of a group's channels their number steps.

    Args:
        detector: the dense detector.
        group: found on it.
        divisor: `channel_divisor`; a number is one of the first layer's channels, of which several
            may go together.

    Returns:
        The number of the group's channels that stays is a multiple of it, >= 1.
    """
    if divisor != AUTO:
        return int(divisor) // math.gcd(int(divisor), group.unit)
    widths = _widths(detector, group)
    for channels, least in _STEPS:
        step = math.lcm(*(channels // math.gcd(channels, width) for width in widths))
        if step * least <= group.channels:
            return step
    return 1


def _widths(detector: nn.Module, group: ChannelGroup) -> set[int]:
    """How many channels of a convolution each of the group's stands for, wherever it matters.

    Of a convolution that loses equally many channels of each of its groups those of one group
    count: that is what its kernel works on. Depth-wise layers count with all of their channels,
    and so do those that lose whole groups.
    """
    found = {group.unit}
    followed = {member.path for member in group.norms}
    for member in (*group.producers, *group.norms, *group.consumers):
        kind = kind_of(detector.get_submodule(member.path))
        if kind is not None and kind.has_kernels:
            found.add(_width(detector.get_submodule(member.path), member, group, followed))
    return {width for width in found if width}


def _width(module: nn.Module, member: Member, group: ChannelGroup, followed: set[str]) -> int:
    each = len(member.index) // group.channels
    groups = getattr(module, 'groups', 1)
    return each if member.path in followed else each // groups
