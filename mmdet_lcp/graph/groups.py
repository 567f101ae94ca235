"""Channel groups: which channels of a detector can only be removed together.

Plain data: paths and index maps that survive surgery, saving and reloading.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from mmdet_lcp.graph.balance import Grid, Key, Unit, balanced
from mmdet_lcp.graph.layer_kinds import Axis, kind_of
from mmdet_lcp.graph.tracing import OUTPUTS, ChannelTrace

Kind = Literal['single', 'coupled', 'shared']
KINDS: tuple[Kind, ...] = ('single', 'coupled', 'shared')
ROLES = ('producers', 'norms', 'consumers', 'followers')


@dataclass(frozen=True)
class Member:
    """One axis of one module that loses channels along with its group.

    Attributes:
        path: module path inside the detector, e.g. ``backbone.features.2``.
        axis: ``'in_channels'`` for consumers and followers, ``'out_channels'`` for producers and
            for per-channel modules (norms).
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
    joins, a group of a group norm or of a grouped convolution, or as many channels of each of its
    groups (see `balance`).

    Attributes:
        name: path of the producer that runs first; with the range of its channels if other
            groups that can be pruned have the rest of them.
        channels: how many of them can go one by one.
        producers: convolutions and linear layers that write the channels.
        norms: modules in between that take channels by themselves (batch norm, L2Norm, depth-wise
            convolutions), in blocks (group norm, grouped convolutions that lose whole groups), or
            count them (mmdet's RoI extractors).
        consumers: convolutions and linear layers that read them, in order of execution.
        obstacle: why the group cannot be pruned, or ``None``.
        followers: input axes of the norms that are grouped convolutions: they say again what goes
            with whole groups, for plans of several prunings to compose. And those of layers that
            only the detector's loss or prediction runs: they lose what they have read, no more.
    """

    name: str
    channels: int
    producers: tuple[Member, ...]
    norms: tuple[Member, ...]
    consumers: tuple[Member, ...]
    obstacle: str | None = None
    followers: tuple[Member, ...] = ()

    @property
    def members(self) -> tuple[Member, ...]:
        """Every axis that the group touches."""
        return self.producers + self.norms + self.consumers + self.followers

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
    units: dict[int, Unit] = {}
    for key, channels in sorted(_axes(trace), key=lambda axis: axis[0]):
        for index, root in enumerate(trace.ties.roots(channels).tolist()):
            if root:
                units.setdefault(root, {}).setdefault(key, []).append(index)
    written = {
        root: unit for root, unit in units.items() if any(k.role == 'producers' for k in unit)
    }
    fates = [(unit, _told(trace.ties.reasons(root))) for root, unit in written.items()]
    free = [unit for unit, reasons in fates if not reasons]
    fates = [fate for fate in fates if fate[1]]
    for unit, reason in balanced(free, _grids(trace)):
        fates.append((unit, () if reason is None else (reason,)))
    # Of equal make: the same axes with the same number of channels on each, and the same fate.
    alike: dict[tuple, list[Unit]] = {}
    for unit, reasons in fates:
        make = tuple((key, len(indices)) for key, indices in unit.items())
        alike.setdefault((make, reasons), []).append(unit)
    found = [
        _describe(detector, sorted(same, key=_first), reasons, trace.calls)
        for (_, reasons), same in alike.items()
    ]
    found.sort(key=lambda g: (trace.order[g.producers[0].path], g.producers[0].index))
    return _named_apart(found)


def _told(reasons: tuple[str, ...]) -> tuple[str, ...]:
    """Reasons why channels stay; of a detector's outputs, what a loss does with them is none."""
    return (OUTPUTS,) if OUTPUTS in reasons else reasons


def _axes(trace: ChannelTrace) -> Iterator[tuple[Key, Tensor]]:
    tables = (
        ('producers', trace.writes),
        ('norms', trace.scales),
        ('consumers', trace.reads),
        ('followers', trace.follows),
    )
    for role, table in tables:
        for path, channels in table.items():
            # What only a later pass runs, such as the loss, cannot be scored on the first one.
            late = role == 'consumers' and path not in trace.runs[0]
            yield Key(trace.order[path], path, 'followers' if late else role), channels


def _grids(trace: ChannelTrace) -> dict[Key, Grid]:
    """Both axes of each convolution that loses equally many channels of each group."""
    return {
        key: Grid(trace.grouped[key.path], len(channels) // trace.grouped[key.path])
        for key, channels in _axes(trace)
        if key.path in trace.grouped
    }


def _first(unit: Unit) -> int:
    """The first channel of a unit on the first producer."""
    return next(indices for key, indices in unit.items() if key.role == 'producers')[0]


def _describe(
    detector: nn.Module, units: list[Unit], reasons: Sequence[str], calls: dict[str, int]
) -> ChannelGroup:
    roles: dict[str, list[Member]] = {role: [] for role in ROLES}
    for key in units[0]:
        pairs = sorted((i, number) for number, unit in enumerate(units) for i in unit[key])
        index, root = zip(*pairs, strict=True)
        axis: Axis = 'in_channels' if key.role in ('consumers', 'followers') else 'out_channels'
        roles[key.role].append(Member(key.path, axis, index, root, calls[key.path]))
    obstacles = list(reasons)
    if not roles['consumers'] and not obstacles:
        late = [m.path for m in roles['followers'] if not _in_blocks(detector, m.path)]
        obstacles.append(
            f'only {late[0]} reads its channels, which runs in training or in prediction alone'
            if late else 'no layer reads its channels'
        )  # fmt: skip
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
        obstacle='; '.join(obstacles) or None,
        **{role: tuple(members) for role, members in roles.items()},
    )


def _in_blocks(detector: nn.Module, path: str) -> bool:
    module = detector.get_submodule(path)
    kind = kind_of(module)
    return kind is not None and kind.groups(module) is not None


def _named_apart(groups: list[ChannelGroup]) -> list[ChannelGroup]:
    """Groups that share their first producer get the range of its channels into their names.

    If one of them alone can be pruned, it keeps the producer's.
    """
    counts: dict[str, int] = {}
    open_: dict[str, int] = {}
    for group in groups:
        counts[group.name] = counts.get(group.name, 0) + 1
        open_[group.name] = open_.get(group.name, 0) + (group.obstacle is None)
    named = []
    for group in groups:
        if counts[group.name] > 1 and (group.obstacle or open_[group.name] > 1):
            index = group.producers[0].index
            name = f'{group.name}[{index[0]}:{index[-1] + 1}]'
            group = ChannelGroup(**{**vars(group), 'name': name})
        named.append(group)
    return named
