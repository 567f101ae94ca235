"""Channel groups: which channels of a detector can only be removed together.

Plain data: paths and index maps that survive surgery, saving and reloading.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import nn

from mmdet_lcp.structure.tracing import ChannelTrace

Axis = Literal['in_channels', 'out_channels']
Kind = Literal['single', 'coupled', 'shared']
KINDS: tuple[Kind, ...] = ('single', 'coupled', 'shared')
Role = Literal['producers', 'norms', 'consumers']


@dataclass(frozen=True)
class Member:
    """One axis of one module that loses channels along with its group.

    Attributes:
        path: module path inside the detector, e.g. ``backbone.features.2``.
        axis: ``'in_channels'`` for consumers, ``'out_channels'`` for producers and for
            per-channel modules (norms).
        index: channels of this module's axis, ascending, ...
        root: ... and the group's channel that each of them belongs to (same length).
        calls: how many times the module runs in one forward pass.
    """

    path: str
    axis: Axis
    index: tuple[int, ...]
    root: tuple[int, ...]
    calls: int = 1

    def map(self, channels: Sequence[int]) -> list[int]:
        """Indices on this module's axis that belong to the group's ``channels``."""
        wanted = set(channels)
        return sorted(i for i, r in zip(self.index, self.root, strict=True) if r in wanted)


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that the same layers write, scale and read.

    What has to go together counts as one of the group's channels: the channels that an addition
    joins, a group of a group norm or of a grouped convolution.

    Attributes:
        name: path of the producer that runs first; with the range of its channels if other
            groups have the rest of them.
        channels: how many of them can go one by one.
        producers: convolutions and linear layers that write the channels.
        norms: modules in between that take channels by themselves (batch norm, L2Norm, depth-wise
            convolutions), in blocks (group norm, grouped convolutions), or count them (mmdet's RoI
            extractors).
        consumers: convolutions and linear layers that read them, in order of execution.
        obstacle: why the group cannot be pruned, or ``None``.
    """

    name: str
    channels: int
    producers: tuple[Member, ...]
    norms: tuple[Member, ...]
    consumers: tuple[Member, ...]
    obstacle: str | None = None

    @property
    def members(self) -> tuple[Member, ...]:
        """Every axis that the group touches."""
        return self.producers + self.norms + self.consumers

    @property
    def unit(self) -> int:
        """Channels of the first producer that each of the group's channels stands for."""
        return len(self.producers[0].index) // self.channels if self.producers else 1

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What makes pruning the group more than cutting one layer; ``('single',)`` if nothing.

        ``'coupled'``: several layers write the channels (an addition, a product, or a
        concatenation whose halves meet again). ``'shared'``: a layer that runs several times in a
        forward pass writes, scales or reads them (a head shared by levels).
        """
        found: list[Kind] = []
        if len(self.producers) > 1:
            found.append('coupled')
        if any(member.calls > 1 for member in self.members):
            found.append('shared')
        return tuple(found) or ('single',)


def groups_of(trace: ChannelTrace, detector: nn.Module) -> list[ChannelGroup]:
    """The groups that a trace of a detector has found, in order of execution."""
    units: dict[int, _Unit] = {}
    for key, channels in sorted(_axes(trace), key=lambda axis: axis[0]):
        for index, root in enumerate(trace.ties.roots(channels).tolist()):
            if root:
                units.setdefault(root, {}).setdefault(key, []).append(index)
    # Of equal make: the same axes with the same number of channels on each, and the same fate.
    alike: dict[tuple, list[_Unit]] = {}
    for root, unit in units.items():
        if any(key.role == 'producers' for key in unit):
            make = tuple((key, len(indices)) for key, indices in unit.items())
            alike.setdefault((make, trace.ties.reasons(root)), []).append(unit)
    found = [
        _describe(detector, sorted(same, key=_first), reasons, trace.calls)
        for (_, reasons), same in alike.items()
    ]
    found.sort(key=lambda g: (trace.order[g.producers[0].path], g.producers[0].index))
    return _named_apart(found)


class _Key(NamedTuple):
    """One axis of one module; they sort in order of execution."""

    order: int
    path: str
    role: Role


_Unit = dict[_Key, list[int]]  # in the order of the keys


def _axes(trace: ChannelTrace) -> Iterator[tuple[_Key, object]]:
    tables = (('producers', trace.writes), ('norms', trace.scales), ('consumers', trace.reads))
    for role, table in tables:
        for path, channels in table.items():
            yield _Key(trace.order[path], path, role), channels


def _first(unit: _Unit) -> int:
    """The first channel of a unit on the first producer."""
    return next(indices for key, indices in unit.items() if key.role == 'producers')[0]


def _describe(
    detector: nn.Module, units: list[_Unit], reasons: Sequence[str], calls: dict[str, int]
) -> ChannelGroup:
    roles: dict[str, list[Member]] = {'producers': [], 'norms': [], 'consumers': []}
    for key in units[0]:
        pairs = sorted((i, number) for number, unit in enumerate(units) for i in unit[key])
        index, root = zip(*pairs, strict=True)
        axis: Axis = 'in_channels' if key.role == 'consumers' else 'out_channels'
        roles[key.role].append(Member(key.path, axis, index, root, calls[key.path]))
    obstacles = list(reasons)
    if not roles['consumers'] and not obstacles:
        obstacles.append('no layer reads its channels')
    if len(units) == 1 and not obstacles:
        width = len(roles['producers'][0].index)
        blocks = ', '.join(m.path for m in roles['norms'] if _in_blocks(detector, m.path))
        obstacles.append(
            'it has one channel' if width == 1 else
            f'its {width} channels can only go all together' + (f' ({blocks})' if blocks else '')
        )  # fmt: skip
    return ChannelGroup(
        name=roles['producers'][0].path,
        channels=len(units),
        producers=tuple(roles['producers']),
        norms=tuple(roles['norms']),
        consumers=tuple(roles['consumers']),
        obstacle='; '.join(obstacles) or None,
    )


def _in_blocks(detector: nn.Module, path: str) -> bool:
    module = detector.get_submodule(path)
    return isinstance(module, nn.GroupNorm) or getattr(module, 'groups', 1) > 1


def _named_apart(groups: list[ChannelGroup]) -> list[ChannelGroup]:
    """Groups that share their first producer get the range of its channels into their names."""
    counts: dict[str, int] = {}
    for group in groups:
        counts[group.name] = counts.get(group.name, 0) + 1
    named = []
    for group in groups:
        if counts[group.name] > 1:
            index = group.producers[0].index
            name = f'{group.name}[{index[0]}:{index[-1] + 1}]'
            group = ChannelGroup(**{**vars(group), 'name': name})
        named.append(group)
    return named
