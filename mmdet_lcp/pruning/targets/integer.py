"""Sharing a cost out by an integer programme: the least removal costs of all that fit the budget.

Of each group one of its numbers of channels is chosen: binary variables. What a layer costs
follows the choices of two groups, those it reads and those it writes: for each pair of choices
there is a variable that is one where both are made, held to that by the sums over either side (the
local polytope of terms of two). HiGHS solves it (Huangfu and Hall, 2018), through SciPy.

Groups of hundreds of channels have too many choices for all pairs of them. So a few are tried of
each group, evenly spread, then finer ones around the best, down to single steps; a round starts
from what the one before has found, and never loses it. Where all choices fit into the first round,
what is found is the optimum.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from mmdet_lcp.pruning.targets.allocation import damages
from mmdet_lcp.pruning.targets.cost_model import CostModel, Term

# Choices of a group in a round.
MOST = 7
# What a round may take: nodes of the search, and seconds for slow machines.
NODES, SECONDS = 2000, 20.0
GAP = 1e-4
# So often the budget is drawn tighter, where layers that several groups write are only nearly so
# dear as they were taken for.
TIGHTER = 3


def improve(
    model: CostModel,
    choices: Sequence[Sequence[int]],
    costs: Sequence[Sequence[float]],
    budget: float,
    start: Sequence[int],
) -> list[int]:
    """Numbers of channels that fit a budget at less cost than given ones, if they are found.

    Args:
        model: what the detector costs at any numbers of channels.
        choices: for each group the numbers that it may have, falling.
        costs: for each group its removal costs, at least as many as channels can go.
        budget: the largest total.
        start: numbers that fit it.

    Returns:
        The number of channels of each group; those of `start` where there are no better ones.
    """
    damage = damages(choices, costs)
    places = [list(own).index(count) for own, count in zip(choices, start, strict=True)]
    stride = max((-(-(len(own) - 1) // (MOST - 1)) for own in choices), default=0)
    while stride:
        some = [
            _around(len(own), place, stride) for own, place in zip(choices, places, strict=True)
        ]
        places = _round(model, choices, damage, budget, some, places)
        stride //= 2
    return [own[place] for own, place in zip(choices, places, strict=True)]


def _around(count: int, place: int, stride: int) -> list[int]:
    """Places among ``count``: that one, and others every so far on both sides, `MOST` in all."""
    low = max(0, place - MOST // 2 * stride)
    low = max(0, min(low, count - 1 - (MOST - 1) * stride))
    found = {place, *range(low, min(count, low + (MOST - 1) * stride + 1), stride)}
    if low + (MOST - 1) * stride >= count - 1:
        found.add(count - 1)
    return sorted(found)


def _round(
    model: CostModel,
    choices: Sequence[Sequence[int]],
    damage: Sequence[np.ndarray],
    budget: float,
    some: Sequence[Sequence[int]],
    start: Sequence[int],
) -> list[int]:
    """The best places among some; `start` where no better ones are found."""
    counts = [[own[place] for place in few] for own, few in zip(choices, some, strict=True)]
    values = [own[list(few)] for own, few in zip(damage, some, strict=True)]
    best = list(start)
    least = sum(own[place] for own, place in zip(damage, start, strict=True))
    programme = _Programme(model, counts, values)
    tight = budget
    for _ in range(TIGHTER):
        found = programme.solve(tight)
        if found is None:
            return best
        places = [few[choice] for few, choice in zip(some, found, strict=True)]
        total = model.total([own[choice] for own, choice in zip(counts, found, strict=True)])
        if total <= budget:
            if sum(own[place] for own, place in zip(damage, places, strict=True)) < least:
                best = places
            return best
        tight -= total - budget
    return best


class _Programme:
    """The programme of a round.

    Args:
        model: the costs.
        counts: choices of each group, as numbers of channels.
        values: what each choice damages.
    """

    def __init__(
        self, model: CostModel, counts: Sequence[Sequence[int]], values: Sequence[np.ndarray]
    ) -> None:
        self._counts = [np.array(own, dtype=float) for own in counts]
        self._values = values
        self._constant = model.constant
        self._single = [np.zeros(len(own)) for own in counts]
        self._pairs: dict[tuple[int, int], np.ndarray] = {}
        for term in model.terms:
            if len(term.groups) <= 2:
                self._take(term)
            else:
                self._take_nearly(term)

    def solve(self, budget: float) -> list[int] | None:
        """Which choice of each group; None where there is none, or none was found in time."""
        begins = np.concatenate([[0], np.cumsum([len(own) for own in self._counts])])
        binary = int(begins[-1])
        total = binary + sum(table.size for table in self._pairs.values())
        rows, columns, entries, right = [], [], [], []

        def equal(places: Sequence[int], signs: Sequence[float], value: float) -> None:
            rows.extend([len(right)] * len(places))
            columns.extend(places)
            entries.extend(signs)
            right.append(value)

        for begin, own in zip(begins, self._counts, strict=False):
            equal(range(begin, begin + len(own)), [1.0] * len(own), 1.0)
        weight = np.zeros(total)
        weight[:binary] = np.concatenate(self._single)
        at = binary
        for (first, second), table in self._pairs.items():
            weight[at : at + table.size] = table.ravel()
            number = np.arange(at, at + table.size).reshape(table.shape)
            for side, group in ((number, first), (number.T, second)):
                for choice, places in enumerate(side):
                    signs = [1.0] * len(places) + [-1.0]
                    equal([*places, begins[group] + choice], signs, 0.0)
            at += table.size
        objective = np.zeros(total)
        objective[:binary] = np.concatenate(self._values)
        scale = objective.max() or 1.0
        amount = np.abs(weight).max() or 1.0
        matrix = coo_array((entries, (rows, columns)), shape=(len(right), total)).tocsr()
        found = milp(
            objective / scale,
            integrality=np.arange(total) < binary,
            bounds=Bounds(0, 1),
            constraints=[
                LinearConstraint(matrix, right, right),
                LinearConstraint(weight[None] / amount, ub=(budget - self._constant) / amount),
            ],
            options={'time_limit': SECONDS, 'node_limit': NODES, 'mip_rel_gap': GAP},
        )
        if found.x is None:
            return None
        return [
            int(np.argmax(found.x[begin : begin + len(own)]))
            for begin, own in zip(begins, self._counts, strict=False)
        ]

    def _take(self, term: Term) -> None:
        """A term of one group or two: its value at every choice."""
        groups = sorted(term.groups)
        at = np.zeros(len(self._counts))
        values = np.zeros([len(self._counts[group]) for group in groups])
        for place in np.ndindex(values.shape):
            for group, choice in zip(groups, place, strict=True):
                at[group] = self._counts[group][choice]
            values[place] = term.at(at)
        if len(groups) == 1:
            self._single[groups[0]] += values
        else:
            self._add(groups[0], groups[1], values)

    def _take_nearly(self, term: Term) -> None:
        """A term of more groups: what is bilinear in its two widths and right at their ends.

        Multiply-accumulates and parameters are bilinear as they are.
        """
        counts = self._counts
        ends = []
        for width in (term.inputs, term.outputs):
            some = {group: (counts[group].min(), counts[group].max()) for group, _ in width.parts}
            ends.append(
                [
                    width.fixed + sum(each * some[group][end] for group, each in width.parts)
                    for end in (0, 1)
                ]
            )
        (i0, i1), (o0, o1) = ends
        corners = [[i, o] for i in (i0, i1) for o in (o0, o1)]
        basis = np.array([[1, i, o, i * o] for i, o in corners])
        known = np.array([term.value(i, o) for i, o in corners])
        a, b, c, d = np.linalg.lstsq(basis, known, rcond=None)[0]
        inside, outside = term.inputs, term.outputs
        share = a + b * inside.fixed + c * outside.fixed + d * inside.fixed * outside.fixed
        self._constant += share
        for group, each in inside.parts:
            self._single[group] += (b + d * outside.fixed) * each * counts[group]
        for group, each in outside.parts:
            self._single[group] += (c + d * inside.fixed) * each * counts[group]
        for group, each in inside.parts:
            for other, one in outside.parts:
                if group == other:
                    self._single[group] += d * each * one * counts[group] ** 2
                else:
                    table = d * each * one * np.outer(counts[group], counts[other])
                    self._add(group, other, table)

    def _add(self, first: int, second: int, table: np.ndarray) -> None:
        if first > second:
            first, second, table = second, first, table.T
        known = self._pairs.get((first, second))
        self._pairs[first, second] = table if known is None else known + table


def total_damage(
    choices: Sequence[Sequence[int]], costs: Sequence[Sequence[float]], counts: Sequence[int]
) -> float:
    """What the removal of channels damages, all groups together."""
    return math.fsum(
        own[list(some).index(count)]
        for own, some, count in zip(damages(choices, costs), choices, counts, strict=True)
    )
