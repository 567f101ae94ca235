"""torch-kirigami's greedy pruner, run on a detector; what it leaves, as channels of our groups.

It traces the detector with PyTorch FX, scores all channels once and takes them away in that order,
together with what depends on them, down to a number of channels. Its order is followed here as far
as a budget of another kind, multiply-accumulates, goes. It is slow: minutes for a
thousand channels (version 0.2.1).
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from mmdet_lcp.comparison.peers.choice import (
    Choice,
    check_budget,
    check_same,
    loss_gradients,
    plan_of,
)
from mmdet_lcp.comparison.peers.packages import NAMES, package
from mmdet_lcp.copies import detached_copy
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.graph.forward import is_two_stage
from mmdet_lcp.selection.images import SelectionImages

MODULE = 'torch_kirigami'
NAME = NAMES[MODULE]
IMPORTANCES = ('taylor', 'group_magnitude')
_FEWER = 0.6  # channels asked for next, where those before cost too much


def choose_channels(
    dense: nn.Module,
    groups: Sequence[ChannelGroup],
    batches: Sequence[SelectionImages],
    importance: str,
    budget: float,
    cost_of: Callable[[Sequence[int]], float],
    round_to: int | None = None,
) -> Choice:
    """Let torch-kirigami prune a copy of a detector down to a budget.

    Args:
        dense: the trained detector, a single-stage one; it stays as it is.
        groups: that may lose channels; all else keeps its channels.
        batches: training images, at least one; Taylor takes the loss's gradient over all of them.
        importance: one of `IMPORTANCES`, its `WeightTaylor` and its `GroupMagnitude`.
        budget: that the pruned detector may cost.
        cost_of: what it costs with so many channels of each group.
        round_to: must be ``None``: its steps hold for a whole plan, not for the beginning of one.

    Raises:
        CompressionError: steps are asked for, or the package is missing, cannot follow the
            detector or meet the budget, or its detector is not the one that its channels make.
    """
    if round_to is not None:
        raise CompressionError(
            f'pruning.channel_divisor: {NAME} is compared without steps; set '
            'pruning.channel_divisor=1'
        )
    pruner = _Pruner(dense, groups, batches, importance)
    whole = cost_of([group.channels for group in groups])
    least = len(groups) / sum(group.channels for group in groups)  # one channel of each group
    share = (budget / whole) ** 0.5  # of the channels; rarely as few as of the cost
    while True:
        order = pruner.order(max(share, least))
        keep, cost = pruner.prefix(order, cost_of, budget)
        if cost <= budget:
            break
        if not order or share <= least:
            check_budget(NAME, importance, cost, budget)
        share *= _FEWER
    difference = check_same(pruner.apply(), dense, plan_of(dense, groups, keep), batches[0], NAME)
    return Choice(keep, cost, pruner.left_out, difference)


class _Traced(nn.Module):
    """What FX can follow: images in, the heads' outputs out, without samples."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Any:
        """The detector's own order of parts."""
        return self.detector.bbox_head(self.detector.extract_feat(images))


class _Pruner:
    """One detector in its hands."""

    def __init__(
        self,
        dense: nn.Module,
        groups: Sequence[ChannelGroup],
        batches: Sequence[SelectionImages],
        importance: str,
    ) -> None:
        self._package = package(MODULE)
        self._pruning = package(f'{MODULE}.pruning')
        self._groups = groups
        detector = detached_copy(dense).requires_grad_(True)
        if importance == 'taylor':
            loss_gradients(detector, batches)
        pruning = self._pruning
        self._metric = (
            pruning.WeightTaylor() if importance == 'taylor' else pruning.GroupMagnitude()
        )
        self._net = _Traced(detector).eval()
        self._pruner = pruning.Pruner(self._net, graph=self._traced(batches[0].first().inputs))
        self.left_out: list[str] = []
        self._channel: dict[str, tuple[str, int]] = {}
        self._space = self._allowed()
        self._candidates = {one.key: one for one in self._space.candidates}
        self._taken: list[str] = []

    def _traced(self, images: Tensor) -> Any:
        if is_two_stage(self._net.detector):
            raise CompressionError(
                f'{NAME} follows a detector with PyTorch FX, which does not get through regions '
                'of interest: leave it out for two-stage detectors'
            )
        try:
            return self._package.DependencyGraph.build(self._net, args=(images,))
        except self._package.CaptureError as error:
            raise CompressionError(
                f'{NAME} cannot follow this {type(self._net.detector).__name__} with PyTorch FX: '
                f'{error}'
            ) from error

    def _allowed(self) -> Any:
        """Its candidates, an output channel of a layer each, that are channels of our groups."""
        space = self._discovered()
        owners = {
            (member.path, index): (group.name, root)
            for group in self._groups
            for member in group.producers
            for index, root in zip(member.index, member.root, strict=True)
        }
        for candidate in space.candidates:
            path, _, index = candidate.key.removeprefix('detector.').partition('.weight:0:')
            owner = owners.get((path, int(index or -1)))
            if owner is not None:
                self._channel[candidate.key] = owner
        reached = {name for name, _ in self._channel.values()}
        self.left_out = [group.name for group in self._groups if group.name not in reached]
        kept = [one for one in space.candidates if one.key in self._channel]
        axes = tuple(dict.fromkeys(one.axis for one in kept))
        return self._pruning.CandidateSpace(tuple(kept), axes)

    def _discovered(self) -> Any:
        paths = [member.path for group in self._groups for member in group.producers]
        try:
            return self._pruner.discover_candidates(targets=[f'detector.{path}' for path in paths])
        except self._pruning.PlanningError:  # it knows no channels of one of these layers
            return self._pruner.discover_candidates()

    def order(self, share: float) -> list[str] | None:
        """Candidates in the order in which it takes them, down to a share of the channels.

        ``None`` where it cannot come down to so few.
        """
        pruning = self._pruning
        try:
            plan = self._pruner.plan(
                self._space,
                budget=pruning.ChannelRatio(round(1 - share, 6), scope='global'),
                strategy=pruning.Greedy(self._metric),
            )
        except pruning.PlanningError:
            return None
        return list(plan.selected)

    def prefix(
        self,
        order: Sequence[str] | None,
        cost_of: Callable[[Sequence[int]], float],
        budget: float,
    ) -> tuple[dict[str, list[int]], float]:
        """As much of an order as meets a budget: the channels that stay, and what they cost."""
        left = {group.name: set(range(group.channels)) for group in self._groups}
        self._taken = []
        cost = cost_of([len(left[group.name]) for group in self._groups])
        for key in order or ():
            if cost <= budget:
                break
            self._taken.append(key)
            name, channel = self._channel[key]
            left[name].discard(channel)
            cost = cost_of([len(left[group.name]) for group in self._groups])
        return {name: sorted(channels) for name, channels in left.items()}, cost

    def apply(self) -> nn.Module:
        """Its own detector, without what the last `prefix` has taken."""
        gone = [one for key in self._taken for one in self._candidates[key].remove]
        if gone:
            self._pruner.apply(self._pruner.plan_remove(gone))
        return self._net.detector
