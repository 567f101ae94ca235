"""Balanced removal: a grouped convolution keeps its groups and loses equally many of each.

Otherwise it loses whole groups, with what they read and write: all of them at once where a
shuffle lets every group read from all groups of the layer before (Zhang et al., ShuffleNet, CVPR
2018, section 3.1), or where additions join layers whose groups begin elsewhere. Balanced removal
does with both.

Channels go together by a *recipe*: so many of each of several cells that every grouped
convolution loses equally many of each of its groups, where a cell holds the channels that are
alike, in the same groups of the same convolutions. The smallest recipe is the solution of a small
integer program; it is used as often as the cells allow, then the next one. What fits into none
stays. Each use is balanced by itself, so that any of them may go without the others, and the
reading layers' groups stay those of the same channels.

A free choice in each group is not possible behind a shuffle. Its forward pass is a reshape to
(g, n) and a transposition: place p holds a channel of part p mod g, whatever n is. So no channel
may move by other than a multiple of g: g neighbours behind it, one of each part, go together
(`operations`), which is a tie, not a matter of balance. Without a shuffle `surgery` takes any
places as long as they are equally many; recipes pair them in order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor

from mmdet_lcp.graph.ties import Ties
from mmdet_lcp.graph.trace_state import TraceState

LEFT_OVER = (
    'without them the groups of a convolution could not all lose equally many channels, whatever '
    'else is removed'
)


class Key(NamedTuple):
    """One axis of one module; they sort in order of execution.

    Attributes:
        order: position of the module's first run.
        path: of the module.
        role: ``'producers'``, ``'norms'``, ``'consumers'`` or ``'followers'``.
    """

    order: int
    path: str
    role: str


# Channels that can only go together: indices by axis, in the order of the keys.
Unit = dict[Key, list[int]]


def tie_whole(ties: Ties, path: str, columns: Tensor, rows: Tensor, groups: int) -> None:
    """A grouped convolution loses whole groups, with what each reads and writes.

    Args:
        ties: is told.
        path: of the convolution.
        columns: channels that it reads, (in_channels,).
        rows: channels that it writes, (out_channels,).
        groups: how many it has.
    """
    read, written = columns.view(groups, -1), rows.view(groups, -1)
    first = written[:, :1]
    for block in (read, written):
        ties.tie(first.expand_as(block).flatten(), block.flatten())
    whole = (read > 0).all(1)
    ties.fix(written[~whole].flatten(), f'{path} reads channels that no layer writes')


def settle(trace: TraceState) -> None:
    """Decide for each grouped convolution how it loses channels, whichever is finer.

    Whole groups, unless fewer of them could go one by one than a group has channels. Those that
    lose whole groups move from what writes and reads to what scales.
    """
    trial = trace.ties.copy()
    for path, groups in trace.grouped.items():
        tie_whole(trial, path, trace.reads[path], trace.writes[path], groups)
    for path, groups in list(trace.grouped.items()):
        columns, rows = trace.reads[path], trace.writes[path]
        free = sum(not trial.reasons(root) for root in trial.roots(rows).unique().tolist())
        each = min(len(columns), len(rows)) // groups
        if free < 2 or each > free:
            continue
        tie_whole(trace.ties, path, columns, rows, groups)
        trace.scales[path], trace.follows[path] = rows, columns
        del trace.grouped[path], trace.reads[path], trace.writes[path]


@dataclass(frozen=True)
class Grid:
    """One axis of a convolution that has to lose equally many channels of each group.

    Attributes:
        groups: of the convolution.
        each: channels of the axis in a group.
    """

    groups: int
    each: int

    def counts(self, indices: Sequence[int]) -> tuple[int, ...]:
        """How many of these channels lie in each group."""
        blocks = np.asarray(indices, dtype=np.int64) // self.each
        return tuple(np.bincount(blocks, minlength=self.groups).tolist())


def balanced(
    units: Sequence[Unit], grids: Mapping[Key, Grid]
) -> Iterator[tuple[Unit, str | None]]:
    """Put units together so that every grid loses equally many channels of each group.

    Args:
        units: what can only go together, as far as ties say.
        grids: by axis.

    Yields:
        The new units, and why one has to stay, or ``None``. Those of no grid stay as they were.
    """
    for unit in units:
        if not any(key in grids for key in unit):
            yield unit, None
    for component in _components(units, grids):
        cells: dict[tuple, list[Unit]] = {}
        for unit in component:
            # Alike: as many channels on each axis, in the same groups.
            make = tuple((k, len(i), k in grids and grids[k].counts(i)) for k, i in unit.items())
            cells.setdefault(make, []).append(unit)
        while (recipe := _recipe(cells, grids)) is not None:
            for _ in range(min(len(cells[make]) // count for make, count in recipe.items())):
                parts = [
                    cells[make].pop(0) for make, count in recipe.items() for _ in range(count)
                ]
                yield _joined(parts), None
        yield from ((unit, LEFT_OVER) for alike in cells.values() for unit in alike)


def _components(units: Sequence[Unit], grids: Mapping[Key, Grid]) -> list[list[Unit]]:
    """Units that meet in a grid, directly or through others."""
    number = {key: n for n, key in enumerate(grids)}  # of the component that a grid is in
    met = [(unit, [key for key in unit if key in grids]) for unit in units]
    for _, keys in met:
        numbers = {number[key] for key in keys}
        if len(numbers) > 1:
            low = min(numbers)
            number = {key: low if n in numbers else n for key, n in number.items()}
    components: dict[int, list[Unit]] = {}
    for unit, keys in met:
        if keys:
            components.setdefault(number[keys[0]], []).append(unit)
    return list(components.values())


def _recipe(
    cells: Mapping[tuple, Sequence[Unit]], grids: Mapping[Key, Grid]
) -> dict[tuple, int] | None:
    """The smallest numbers of units of each cell that are balanced, or ``None``."""
    makes = [make for make, alike in cells.items() if alike]
    if not makes:
        return None
    rows = []
    for key, grid in grids.items():
        counts = np.zeros((grid.groups, len(makes)))
        for number, make in enumerate(makes):
            for axis, _, found in make:
                if axis == key:
                    counts[:, number] = found
        rows.append(counts[1:] - counts[:1])
    rows = np.unique(np.concatenate(rows), axis=0)
    sizes = np.array([sum(length for _, length, _ in make) for make in makes], dtype=float)
    most = np.array([len(cells[make]) for make in makes], dtype=float)
    found = milp(
        sizes,
        integrality=np.ones(len(makes)),
        bounds=Bounds(0, most),
        constraints=[
            LinearConstraint(rows, 0, 0),
            LinearConstraint(np.ones((1, len(makes))), 1, np.inf),
        ],
    )
    if found.x is None:
        return None
    amounts = np.rint(found.x).astype(int).tolist()
    return {make: amount for make, amount in zip(makes, amounts, strict=True) if amount}


def _joined(units: Sequence[Unit]) -> Unit:
    """Units that go together from now on."""
    joined: Unit = {}
    for unit in units:
        for key, indices in unit.items():
            joined.setdefault(key, []).extend(indices)
    return {key: sorted(joined[key]) for key in sorted(joined)}
