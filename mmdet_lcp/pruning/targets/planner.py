"""From a target to numbers of channels, decided before anything is trained."""

import dataclasses
import statistics
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.measure.latency_table import LATENCY_TABLE
from mmdet_lcp.pruning.targets.allocation import allocate, smallest, steps
from mmdet_lcp.pruning.targets.cost_model import CostModel, macs_model, params_model
from mmdet_lcp.pruning.targets.integer import improve, total_damage
from mmdet_lcp.pruning.targets.latency_model import Latency
from mmdet_lcp.pruning.targets.stopwatches import Stopwatch, stopwatch_for
from mmdet_lcp.pruning.targets.target import KEY, WORDS, Cost, Target
from mmdet_lcp.report.tables import format_count, format_ms

# A measured latency is good enough so near to what was asked, in shares of the dense one (nearer
# where less than half was asked for); and so often it is tried to come nearer.
NEAR = 0.02
ATTEMPTS = 6
# So many layers are named where a target is out of reach.
HOLDING = 5
# One ratio for all groups is looked for among so many.
FINE = 1000

# Lines of a config, each with what it lets go.
Wider = Callable[[], Sequence[tuple[str, Sequence[Stage]]]]


@dataclass
class Allocation:
    """What a target has come to.

    Attributes:
        cost: ``'macs'``, ``'params'`` or ``'latency'``.
        asked: share of the dense detector's cost that may remain.
        predicted: share that remains with these numbers of channels.
        measured: latency only: measured share, before any training; ``None`` where the table is of
            another device.
        floor: the smallest share that could have been asked for.
        dense: the dense detector's cost: multiply-accumulates, parameters or milliseconds.
        counts: channels that stay, by the group's name.
        runtime: latency only: what it is measured in; '' is PyTorch.
        spread: how unequal the groups were allowed to be; see `Target.spread`.
    """

    cost: Cost
    asked: float
    predicted: float
    floor: float
    dense: float
    counts: dict[str, int]
    measured: float | None = None
    runtime: str = ''
    spread: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        """A line for the user."""
        show = format_ms if self.cost == 'latency' else format_count
        where = f' in {self.runtime}' if self.runtime else ''
        text = (
            f'Target: {self.asked:.3f} of the {WORDS[self.cost]}{where} of the dense detector '
            f'({show(self.dense)}). Predicted: {self.predicted:.3f} '
            f'({show(self.predicted * self.dense)})'
        )
        if self.measured is not None:
            text += f'. Measured: {self.measured:.3f} ({show(self.measured * self.dense)})'
        return text


class TargetPlanner:
    """Shares a target out over the groups of a detector.

    Args:
        target: what was asked.
        stages: the groups, with the smallest number of channels as `keep`.
        dense: the dense detector.
        image_size: (height, width) in pixels.
        work_dir: where a latency table is kept.
        tell: takes lines for the user.
        deeper: what lets more of a group go, for the message that a target cannot be reached.
        stopwatch: takes the times for a latency.
        wider: gives lines of `pruning` that let more go, each with its stages at their smallest;
            for the message that a target cannot be reached.
        reasons: why layers keep all that they write, by path; for the same message.
        model: of the groups' multiply-accumulates or parameters, where it is known already.

    Raises:
        CompressionError: the target cannot be reached; the floor is named.
    """

    def __init__(
        self,
        target: Target,
        stages: Sequence[Stage],
        dense: nn.Module,
        image_size: tuple[int, int],
        work_dir: Path,
        tell: Callable[[str], None],
        deeper: str = f'raise {KEY}.max_ratio',
        stopwatch: Stopwatch | None = None,
        wider: Wider | None = None,
        reasons: Mapping[str, str] | None = None,
        model: CostModel | None = None,
    ) -> None:
        self._reasons = reasons or {}
        self._tell, self._compared = tell, ''
        self._dense_detector, self._image_size, self._wider = dense, image_size, wider
        self.target, self.stages, self._deeper = target, stages, deeper
        self._least = [stage.keep for stage in stages]
        groups = [stage.group for stage in stages]
        self._latency: Latency | None = None
        self._model: CostModel
        if target.cost == 'latency':
            given = None if target.latency_table is None else Path(target.latency_table)
            cache = work_dir / LATENCY_TABLE
            self._latency = Latency(
                dense,
                groups,
                self._least,
                image_size,
                cache,
                given,
                stopwatch or stopwatch_for(target),
                tell,
                target.any_device,
            )
            self._model, self._dense = self._latency.model, self._latency.dense_ms
        else:
            self._model = self._counted(groups) if model is None else model
            self._dense = self._model.total([group.channels for group in groups])
        self.floor = self._model.total(self._least) / self._dense
        if self.floor > target.share:
            raise CompressionError(self._unreachable())

    def share_out(self, costs: Sequence[Sequence[float]], priced: bool) -> list[Allocation]:
        """Decide how many channels of each group stay.

        Args:
            costs: removal costs of each group.
            priced: whether they are divided by what a removal saves already.

        Returns:
            One allocation; with ``spread='auto'`` all that differ, the usual one first. Where
            they are measured, those that are near enough, or the nearest.
        """
        found: list[Allocation] = []
        for spread in self.target.spreads:
            allocation = replace(self._shared_out(costs, priced, spread), spread=spread)
            if all(allocation.counts != other.counts for other in found):
                found.append(allocation)
                if self._compared:
                    several = len(self.target.spreads) > 1
                    self._tell(self._compared + (f' (spread {spread:g})' if several else ''))
        if self._latency is None or not self._latency.measurable:
            return found
        near = [one for one in found if self._is_near(one.measured)]
        return near or [min(found, key=lambda one: abs(one.measured - self.target.share))]

    def _is_near(self, measured: float) -> bool:
        share = self.target.share
        return abs(measured - share) <= NEAR * min(1, 2 * share)

    def _shared_out(
        self, costs: Sequence[Sequence[float]], priced: bool, spread: float
    ) -> Allocation:
        if self._latency is None or not self._latency.measurable:
            counts = self._allocated(costs, self.target.share * self._dense, priced, spread)
            return self._allocation(counts, self._model.total(counts) / self._dense, None)
        return self._by_measuring(costs, priced, spread)

    def _allocated(self, costs, budget: float, priced: bool, spread: float) -> list[int]:
        choices = [
            steps(stage.group.channels, stage.divisor, least)
            for stage, least in zip(self.stages, self._within_reach(budget, spread), strict=True)
        ]
        greedy = allocate(self._model, choices, costs, budget, priced)
        # What is divided by what it saves cannot be added up over the groups.
        if self.target.solver == 'greedy' or priced or self._model.total(greedy) > budget:
            return greedy
        found = improve(self._model, choices, costs, budget, greedy)
        before, after = (total_damage(choices, costs, counts) for counts in (greedy, found))
        self._compared = (
            f'What is removed costs {after:.4g} by an integer programme, {before:.4g} greedily'
        )
        return found

    def _within_reach(self, budget: float, spread: float) -> list[int]:
        """Of each group the smallest number of channels that `Target.spread` leaves.

        So many times the ratio that takes all groups to the budget; where steps and smallest
        numbers keep that from being enough, a little more.
        """
        ratios = [number / FINE for number in range(FINE)]
        one = bisect_left(ratios, -budget, key=lambda ratio: -self._model.total(self._at(ratio)))
        limit = one / FINE * spread
        while limit < self.target.max_ratio:
            floors = self._at(limit, rounded=True)
            if self._model.total(floors) <= budget:
                return floors
            limit += 0.02
        return self._least

    def _at(self, ratio: float, rounded: bool = False) -> list[float]:
        """Channels of the groups without this part of them, but never less than the smallest."""
        found = []
        for stage, least in zip(self.stages, self._least, strict=True):
            count = stage.group.channels * (1 - ratio)
            if rounded:
                count = smallest(stage.group.channels, stage.divisor, 1, ratio)
            found.append(max(count, least))
        return found

    def _by_measuring(self, costs, priced: bool, spread: float) -> Allocation:
        """Share out, measure, and correct the model by what it was wrong."""
        share = self.target.share
        budget = share
        tried: list[tuple[float, Allocation]] = []  # the budget, and what has come of it
        errors: list[float] = []
        while len(tried) < ATTEMPTS:
            counts = self._allocated(costs, budget * self._dense, priced, spread)
            modelled = self._model.total(counts) / self._dense
            measured = self._latency.share(counts)
            predicted = modelled + share - budget
            tried.append((budget, self._allocation(counts, predicted, measured)))
            if self._is_near(measured):
                break
            errors.append(measured - modelled)
            between = _between(tried, share)
            budget = share - statistics.fmean(errors) if between is None else between
        return min((one for _, one in tried), key=lambda one: abs(one.measured - share))

    def _allocation(
        self, counts: list[int], predicted: float, measured: float | None
    ) -> Allocation:
        by_name = {s.group.name: n for s, n in zip(self.stages, counts, strict=True)}
        cost, share = self.target.cost, self.target.share
        return Allocation(
            cost,
            share,
            predicted,
            self.floor,
            self._dense,
            by_name,
            measured,
            self.target.runtime or '',
        )

    def _counted(self, groups: Sequence[ChannelGroup]) -> CostModel:
        if self.target.cost == 'params':
            return params_model(self._dense_detector, groups)
        return macs_model(self._dense_detector, groups, self._image_size)

    def _what_helps(self) -> str:
        """Lines to write, each with the floor that it gives; '' if none is known."""
        lines = []
        for text, stages in () if self._wider is None else self._wider():
            groups = [stage.group for stage in stages]
            model = self._counted(groups)
            floor = model.total([stage.keep for stage in stages])
            floor /= model.total([group.channels for group in groups])
            what = f'{floor:.3f}'
            if self.target.cost == 'latency':  # counted, where milliseconds would be measured
                what += f' of the {WORDS["macs"]}'
            else:
                what += ', which is enough' if floor <= self.target.share else ''
            lines.append(f'  pruning = dict({text})  # smallest: {what}')
        if not lines:
            return ''
        return '\nWhat would help, and what is left then:\n' + '\n'.join(lines)

    def _holds(self) -> str:
        """The layers that the most is left of with every group at its smallest; '' if unknown."""
        if self._latency is not None:
            return ''
        layers = self._model.by_layer(self._least)
        written = {
            member.path: stage
            for stage in self.stages
            for member in (*stage.group.producers, *stage.group.norms)
        }
        lines = []
        for path in sorted(layers, key=layers.__getitem__, reverse=True)[:HOLDING]:
            if path in written:
                group = written[path].group
                why = (
                    f'of the group {group.name}, {written[path].keep} of {group.channels} channels'
                )
            else:
                why = self._reasons.get(path, 'no group that is pruned has what it writes')
            lines.append(f'  {path}: {layers[path] / self._dense:.3f} ({why})')
        return '\nMost of what is left then lies in\n' + '\n'.join(lines)

    def _floor_ms(self) -> str:
        if self._latency is None:
            return ''
        floor = self.floor * self._dense
        return f', {format_ms(floor)} of {format_ms(self._dense)}'

    def _unreachable(self) -> str:
        names = ', '.join(
            f'{stage.group.name} {stage.group.channels} -> {least}'
            for stage, least in zip(self.stages, self._least, strict=True)
        )
        return (
            f'{KEY}.{self.target.cost}={self.target.share} cannot be reached: with '
            f'every group at its smallest, {self.floor:.3f} of the '
            f"dense detector's {WORDS[self.target.cost]} is left{self._floor_ms()}. Ask for more "
            'than that, '
            f'{self._deeper} ({self.target.max_ratio}), lower pruning.min_channels or '
            'pruning.channel_divisor, or let pruning.layers and pruning.stages '
            f'take in more groups.{self._holds()}\nThe groups at their smallest: '
            f'{names}{self._what_helps()}'
        )


def _between(tried: Sequence[tuple[float, Allocation]], share: float) -> float | None:
    """The budget between the nearest that came out too slow and too fast, if there are both.

    Errors of the model differ from one set of widths to the next, so that their mean alone can go
    back and forth over what was asked.
    """
    found = sorted((one.measured, budget) for budget, one in tried)
    fast = [one for one in found if one[0] <= share]
    slow = found[len(fast) :]
    if not fast or not slow:
        return None
    (below, low), (above, high) = fast[-1], slow[0]
    return low + (high - low) * (share - below) / (above - below)
