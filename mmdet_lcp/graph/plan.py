"""A plan: which input and output channels of every touched module stay.

Plain data. A plan and the detector's own config rebuild the pruned detector;
channels are always counted on the detector before any pruning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.groups import Axis, ChannelGroup

VERSION = 1
MOST = 1 << 22  # channels of an axis: a file that names more of them is damaged


@dataclass(frozen=True)
class Kept:
    """The channels of one axis that stay: ascending indices in ``[0, total)``."""

    total: int
    keep: tuple[int, ...]

    def without(self, removed: Iterable[int]) -> Kept:
        """The same axis after more of its original channels have gone."""
        gone = set(removed)
        return Kept(self.total, tuple(i for i in self.keep if i not in gone))

    def positions(self, later: Kept) -> list[int]:
        """Where the channels of ``later`` (a subset of these) stand among these."""
        where = {channel: position for position, channel in enumerate(self.keep)}
        return [where[channel] for channel in later.keep]


@dataclass
class Plan:
    """Which channels of each module stay; it alone turns a dense detector into the pruned one.

    Attributes:
        modules: what stays, by the module's path and then by axis (``'in_channels'``,
            ``'out_channels'``); modules and axes that are not there stay whole.
    """

    modules: dict[str, dict[Axis, Kept]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.modules)

    def kept(self, path: str, axis: Axis, total: int) -> Kept:
        """What stays on one axis; everything, if the plan does not touch it."""
        return self.modules.get(path, {}).get(axis) or Kept(total, tuple(range(total)))

    def remove(self, group: ChannelGroup, channels: Iterable[int], totals: Totals) -> Plan:
        """A new plan that also removes ``channels`` of ``group``.

        Args:
            group: a group found on the detector before any pruning.
            channels: the group's channels that go, in ``[0, group.channels)``.
            totals: size of each touched axis before any pruning, by (path, axis).

        Raises:
            CompressionError: the group cannot be pruned, it has no such channel, no channel would
                stay, or the totals are of other groups.
        """
        if group.obstacle is not None:
            raise CompressionError(f'{group.name} cannot be pruned: {group.obstacle}')
        gone = _channels_of(group, channels)
        modules = {path: dict(axes) for path, axes in self.modules.items()}
        for member in group.members:
            total = totals.get((member.path, member.axis))
            if total is None:
                raise CompressionError(
                    f'{group.name}: the totals lack the {member.axis} of {member.path}. Take '
                    'axis_sizes(network, groups) of groups with this one among them.'
                )
            kept = self.kept(member.path, member.axis, total).without(member.map(gone))
            if not kept.keep:
                raise CompressionError(
                    f'{group.name}: without {len(gone)} of its {group.channels} channels none of '
                    f'the {member.axis} of {member.path} would stay. Leave at least one.'
                )
            modules.setdefault(member.path, {})[member.axis] = kept
        return Plan(modules)

    def then(self, later: Plan) -> Plan:
        """Compose this plan with a second one, made on the detector that this one leaves."""
        modules = {path: dict(axes) for path, axes in self.modules.items()}
        for path, axes in later.modules.items():
            for axis, second in axes.items():
                first = self.modules.get(path, {}).get(axis)
                if first is None:
                    modules.setdefault(path, {})[axis] = second
                    continue
                if second.total != len(first.keep):
                    raise CompressionError(
                        f'the second plan expects {second.total} {axis} channels at {path}, '
                        f'the first one leaves {len(first.keep)}'
                    )
                keep = tuple(first.keep[position] for position in second.keep)
                modules[path][axis] = Kept(first.total, keep)
        return Plan(modules)

    def to_dict(self, compact: bool = False) -> dict[str, Any]:
        """Plain form for JSON or a config, modules in alphabetical order.

        Args:
            compact: write channels as ranges in one string, ``'0-3 7'``: mmengine formats a
                config anew with every checkpoint, which takes long with thousands of numbers.
        """
        write = _to_ranges if compact else list
        return {
            'version': VERSION,
            'modules': {
                path: {
                    axis: {'total': kept.total, 'keep': write(kept.keep)}
                    for axis, kept in sorted(axes.items())
                }
                for path, axes in sorted(self.modules.items())
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Read a plan back.

        Raises:
            CompressionError: not a plan, another version, or channels out of range.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get('modules'), Mapping):
            raise CompressionError("this is not a plan: it has no 'modules'")
        if data.get('version') != VERSION:
            raise CompressionError(
                f'the plan has version {data.get("version")!r}, this package reads {VERSION}'
            )
        modules: dict[str, dict[Axis, Kept]] = {}
        for path, axes in data['modules'].items():
            if not isinstance(axes, Mapping):
                raise CompressionError(f'plan, {path}: needs a mapping from axis to channels')
            for axis, kept in axes.items():
                where = f'plan, {path}, {axis!r}'
                if axis not in ('in_channels', 'out_channels'):
                    raise CompressionError(
                        f"{where}: the axis must be 'in_channels' or 'out_channels'"
                    )
                try:
                    total, keep = int(kept['total']), kept['keep']
                    keep = _from_ranges(keep) if isinstance(keep, str) else keep
                    keep = tuple(int(i) for i in keep)
                except (TypeError, KeyError, ValueError, OverflowError) as error:
                    raise CompressionError(f"{where}: needs 'total' and 'keep'") from error
                if total > MOST:
                    raise CompressionError(f'{where}: no axis has {total} channels')
                if not keep:
                    raise CompressionError(f'{where}: no channel would stay')
                if list(keep) != sorted(set(keep)) or keep[0] < 0 or keep[-1] >= total:
                    raise CompressionError(
                        f"{where}: 'keep' must be ascending, without repeats, in [0, {total})"
                    )
                modules.setdefault(path, {})[axis] = Kept(total, keep)
        return cls(modules)


Totals = Mapping[tuple[str, Axis], int]


def _channels_of(group: ChannelGroup, channels: Iterable[int]) -> list[int]:
    """Numbers of a group's channels, checked."""
    try:
        numbers = [index(channel) for channel in channels]
    except TypeError as error:
        raise CompressionError(
            f'{group.name}: the channels to remove are {channels!r}; a list of whole numbers is '
            'needed'
        ) from error
    for number in numbers:
        if not 0 <= number < group.channels:
            raise CompressionError(
                f'{group.name} has no channel {number}: its channels are 0 to '
                f'{group.channels - 1}, each of which may stand for several of a layer'
            )
    return numbers


def _to_ranges(channels: Sequence[int]) -> str:
    """(0, 1, 2, 3, 7) -> '0-3 7'."""
    runs: list[list[int]] = []
    for channel in channels:
        if runs and channel == runs[-1][1] + 1:
            runs[-1][1] = channel
        else:
            runs.append([channel, channel])
    return ' '.join(str(a) if a == b else f'{a}-{b}' for a, b in runs)


def _from_ranges(text: str) -> list[int]:
    """'0-3 7' -> [0, 1, 2, 3, 7]."""
    channels: list[int] = []
    for run in text.split():
        first, _, last = run.partition('-')
        if int(last or first) >= MOST:
            raise ValueError(f'no axis has {last or first} channels')
        channels.extend(range(int(first), int(last or first) + 1))
    return channels
