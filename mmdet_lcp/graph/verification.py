"""Try groups out on a detector: removing their channels must compute what zeroing them does.

A trace follows what an operation does to channels, not what a forward pass does with numbers of
its own: a reshape by a count of channels that was written down when the detector was built, or a
mean over what had to be a sum.
"""

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Sequence
from math import gcd

import torch
from torch import Tensor, nn

from mmdet_lcp.graph.example import example_image
from mmdet_lcp.graph.groups import ChannelGroup
from mmdet_lcp.graph.passes import Pass
from mmdet_lcp.graph.plan import Plan
from mmdet_lcp.graph.surgery import axis_sizes
from mmdet_lcp.graph.watching import Fault, compare, note
from mmdet_lcp.graph.workbench import cut, masked

# Seconds between two lines about the progress.
_EVERY = 10.0


def tried(
    bench: nn.Module,
    groups: Sequence[ChannelGroup],
    image_size: tuple[int, int],
    passes: Sequence[Pass],
    tell: Callable[[str], None] = lambda line: None,
) -> list[ChannelGroup]:
    """The same groups, with an obstacle for each that cannot be pruned as the trace says.

    Channels of all groups are removed at once, on one image of noise: half of each group first,
    then a share of its own of each, as a ratio by layer does; the latter in every pass. Only if
    that goes wrong, groups near the fault are set aside until the others are right, and then
    tried again, as few at a time as it takes.

    Args:
        bench: a copy of the detector; it is changed for each try, and put back.
        groups: found on it.
        image_size: (height, width) of the image, in pixels.
        passes: ways to run it, the first of them in ``mode='tensor'`` if that runs.
        tell: called with a line now and then.
    """
    image = example_image(bench, image_size, torch.Generator().manual_seed(0))
    open_ = [group for group in groups if group.obstacle is None]
    sizes = [group.channels for group in open_]
    halves = {g.name: size // 2 for g, size in zip(open_, sizes, strict=True)}
    shares = dict(zip(halves, _unequal(sizes), strict=True))
    removals = [Removal(bench, passes[0], image, halves)]
    removals += [Removal(bench, each, image, shares) for each in passes if shares]
    wrong: dict[str, str] = {}
    for number, removal in enumerate(removals):
        search = Search(removal, tell)
        search.run([group for group in open_ if group.name not in wrong])
        for name, fault in search.wrong.items():
            wrong[name] = _obstacle(removal, number, fault, len(open_) > 1)
    return [
        dataclasses.replace(group, obstacle=wrong[group.name]) if group.name in wrong else group
        for group in groups
    ]


def _obstacle(removal: 'Removal', number: int, fault: Fault, several: bool) -> str:
    where = {'loss': 'in training ', 'predict': 'in prediction '}.get(removal.each.name, '')
    subject = f'{where}the detector {fault.what}'
    if number == 0:
        return f'without half of its channels {subject}'
    if several and not where:
        return f'where it loses another share of its channels than others, {subject}'
    return f'without some of its channels {subject}'


@dataclasses.dataclass
class Removal:
    """Removing certain numbers of channels, seen in one pass.

    Attributes:
        bench: the detector.
        each: the pass.
        image: on which.
        counts: how many channels of each group go, by its name.
    """

    bench: nn.Module
    each: Pass
    image: Tensor
    counts: dict[str, int]

    def fault(self, groups: Sequence[ChannelGroup]) -> Fault | None:
        """What the detector does wrong without channels of these groups."""
        if not groups:
            return None
        totals, plan = axis_sizes(self.bench, groups), Plan()
        # At random: what is evenly spread may be right by luck, where a forward pass halves its
        # maps.
        draw = torch.Generator().manual_seed(0)
        for group in groups:
            order = torch.randperm(group.channels, generator=draw)
            plan = plan.remove(group, order[: self.counts[group.name]].tolist(), totals)
        with masked(self.bench, plan) as detector:
            notes = note(detector, plan, self.each, self.image)
        try:
            with cut(self.bench, plan) as detector:
                compare(detector, notes, self.each, self.image)
        except Fault as fault:
            return fault
        return None


class Search:
    """Finds the groups that make a removal go wrong.

    Args:
        removal: which one.
        tell: called with a line now and then.

    Attributes:
        wrong: the fault of each of these groups, by name.
        tries: how many there were.
    """

    def __init__(self, removal: Removal, tell: Callable[[str], None]) -> None:
        self.removal = removal
        self.tell = tell
        self.wrong: dict[str, Fault] = {}
        self.tries = 0
        self._told = time.monotonic()

    def run(self, groups: Sequence[ChannelGroup]) -> None:
        """Search among groups; the others of them are right together."""
        right, shelves = list(groups), []
        fault = self._fault(right)
        last = None
        while fault is not None:
            near = _nearest(right, fault)
            right = [group for group in right if group not in near]
            if last is not None and last.path == fault.path:
                shelves[-1].extend(near)  # those before had no part in it, or not the only one
            else:
                shelves.append(near)
            last, fault = fault, self._fault(right)
        # All of those that were set aside together went wrong: begin with half of them.
        shelves = [[near] if len(near) == 1 else _halves(near) for near in shelves]
        while any(shelves):
            right = self._put_back(right, shelves)

    def _put_back(
        self, right: list[ChannelGroup], shelves: list[list[list[ChannelGroup]]]
    ) -> list[ChannelGroup]:
        """Try one piece of each shelf together; those that go wrong are cut in two."""
        tops = [shelf.pop() for shelf in shelves if shelf]
        fault = None
        while tops:
            fault = self._fault([*right, *(group for top in tops for group in top)])
            if fault is None:
                return [*right, *(group for top in tops for group in top)]
            closest = [_closeness(top, fault.path) for top in tops]
            blamed = tops.pop(closest.index(max(closest)))
            sure = not tops or (closest.count(max(closest)) == 1 and max(closest) > 0)
            if not sure:
                own = self._fault([*right, *blamed])
                if own is None:
                    right = [*right, *blamed]
                    continue
                fault = own
            if len(blamed) == 1:
                self.wrong[blamed[0].name] = fault
            else:
                shelves.append(_halves(blamed))
        return right

    def _fault(self, groups: Sequence[ChannelGroup]) -> Fault | None:
        self.tries += 1
        now = time.monotonic()
        if now - self._told > _EVERY:
            self._told = now
            self.tell(
                f'Trying groups of channels out in the {self.removal.each.name} pass: '
                f'{self.tries} tries, {len(self.wrong)} groups refused so far'
            )
        return self.removal.fault(groups)


def _halves(groups: list[ChannelGroup]) -> list[list[ChannelGroup]]:
    """The second half, then the first, which is taken from the end."""
    half = len(groups) // 2
    return [groups[half:], groups[:half]]


def _nearest(groups: Sequence[ChannelGroup], fault: Fault) -> list[ChannelGroup]:
    """Groups on the axis that shows a fault, or else in the smallest part of the detector around.

    There is one at least.
    """
    there = [
        group
        for group in groups
        if any((m.path, m.axis) == (fault.path, fault.axis) for m in group.members)
    ]
    if there:
        return there
    found = [_closeness([group], fault.path) for group in groups]
    most = max(found)
    return [group for group, close in zip(groups, found, strict=True) if close == most]


def _closeness(groups: Sequence[ChannelGroup], path: str) -> int:
    """How many names of a path a module of these groups shares with it from the front."""
    names = path.split('.') if path else []
    most = 0
    for group in groups:
        for member in group.members:
            same = 0
            for one, two in zip(names, member.path.split('.'), strict=False):
                if one != two:
                    break
                same += 1
            most = max(most, same)
    return most


def _unequal(sizes: Sequence[int]) -> list[int]:
    """How many channels of each group go, from none to all but one.

    Groups that a forward pass takes for equal parts of one map have as many channels. So among
    those with n channels, any n in a row lose different numbers of them.
    """
    turns: Counter[int] = Counter()
    counts = []
    for size in sizes:
        turns[size] += 1
        # Near the golden ratio, so that neighbours lie far apart; prime to the size, so that
        # every number has its turn.
        step = next(s for s in range(round(0.618 * size) or 1, size + 1) if gcd(s, size) == 1)
        counts.append(turns[size] * step % size)
    return counts
