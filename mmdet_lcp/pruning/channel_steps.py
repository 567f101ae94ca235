"""The numbers of channels that a layer may keep: multiples that runtimes are fast at.

Runtimes work on blocks of channels. ONNX Runtime keeps a convolution in its blocked layout only
if the number of its input channels is a multiple of 4. Measured on x86-64 with AVX2: with half of
the channels less one a whole SSD300 takes a quarter longer there than with half of them, with a
quarter of them less one two fifths longer; depth-wise layers off a multiple of 4 take 5 to 6 times
as long, in ncnn 4 to 5 times. LiteRT's depth-wise kernels step by 16 with AVX-512.

Where a config names its runtime, a table of measured steps decides, layer by layer
(`measure.step_table`).
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup, Member
from mmdet_lcp.graph.layer_kinds import kind_of
from mmdet_lcp.measure import on_device
from mmdet_lcp.measure.step_table import StepTable, layer_kind, table_for

AUTO = 'auto'
# A step, and how many of it a group has at least: 8 where rounding moves a group by no more than
# an eighth of its channels, 4 and 2 where there is something to choose at all.
_STEPS = ((8, 4), (4, 2), (2, 2))


def step_table(
    runtime: str | None, path: str | None, latency_table: str | None = None
) -> StepTable | None:
    """The steps that a config asks for.

    Args:
        runtime: of `RUNTIMES`, or None.
        path: of a table of the user's, or None: the package's.
        latency_table: of a device: the package's table is one for that; for this one without it.

    Returns:
        The table; None where no runtime is named, or no table of it is known.

    Raises:
        CompressionError: the user's table cannot be read, or is of another runtime.
    """
    if path is None:
        if runtime is None:
            return None
        return table_for(runtime, _processor_of(latency_table) or on_device.processor())
    table = StepTable.read(Path(path))
    if runtime is not None and table.runtime != runtime:
        raise CompressionError(
            f'pruning.step_table={path!r} has the steps of {table.runtime}, and the runtime is '
            f'{runtime}: measure them with `mmdet-lcp measure-steps --runtime {runtime}`'
        )
    return table


def _processor_of(latency_table: str | None) -> str | None:
    """The processor that a table of latencies is of; None where there is none to be read.

    What is wrong with a file is told where its times are read.
    """
    if latency_table is None:
        return None
    try:
        # '..., 4 threads, ncnn 1.0'
        return json.loads(Path(latency_table).read_text(encoding='utf-8'))['device'].rsplit(
            ', ', 2
        )[0]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def step_of(
    detector: nn.Module,
    group: ChannelGroup,
    divisor: int | str,
    table: StepTable | None = None,
) -> int:
    """By how many of a group's channels their number steps.

    Args:
        detector: the dense detector.
        group: found on it.
        divisor: `channel_divisor`; a number is one of the first layer's channels, of which several
            may go together.
        table: the steps of the runtime, for ``'auto'``.

    Returns:
        The number of the group's channels that stays is a multiple of it, >= 1.
    """
    if divisor != AUTO:
        return int(divisor) // math.gcd(int(divisor), group.unit)
    if table is not None:
        return _measured_step(detector, group, table)
    widths = _widths(detector, group)
    for channels, least in _STEPS:
        step = _in_units(channels, widths)
        if step * least <= group.channels:
            return step
    return 1


def _measured_step(detector: nn.Module, group: ChannelGroup, table: StepTable) -> int:
    """The fast step where four fit into the group, else the one that is never slower than more."""
    sound = fast = 1
    for member, width in _layers(detector, group):
        own = table.steps(layer_kind(detector.get_submodule(member.path)), member.axis)
        sound = math.lcm(sound, _in_units(own[0], {width}))
        fast = math.lcm(fast, _in_units(max(own), {width}))
    if fast * 4 <= group.channels:
        return fast
    while sound > 1 and sound * 2 > group.channels:
        sound //= 2
    return sound


def _in_units(channels: int, widths: set[int]) -> int:
    """The number of a group's channels that is a multiple of so many in every layer."""
    return math.lcm(*(channels // math.gcd(channels, width) for width in widths))


def _widths(detector: nn.Module, group: ChannelGroup) -> set[int]:
    """How many channels of a convolution each of the group's stands for, wherever it matters."""
    found = {group.unit, *(width for _, width in _layers(detector, group))}
    return {width for width in found if width}


def _layers(detector: nn.Module, group: ChannelGroup) -> Iterator[tuple[Member, int]]:
    """The group's layers with kernels, and how many channels of each go with one of the group's.

    Of a convolution that loses equally many channels of each of its groups those of one group
    count: that is what its kernel works on. Depth-wise layers count with all of their channels,
    and so do those that lose whole groups.
    """
    followed = {member.path for member in group.norms}
    for member in (*group.producers, *group.norms, *group.consumers):
        kind = kind_of(detector.get_submodule(member.path))
        if kind is not None and kind.has_kernels:
            width = _width(detector.get_submodule(member.path), member, group, followed)
            if width:
                yield member, width


def _width(module: nn.Module, member: Member, group: ChannelGroup, followed: set[str]) -> int:
    each = len(member.index) // group.channels
    groups = getattr(module, 'groups', 1)
    return each if member.path in followed else each // groups
