"""A pruning run in which a peer has chosen the channels; all after that is as in any other.

The peer works on the dense detector at once and for all groups. Its choice is then removed group
by group, without an update, and the detector is measured, retrained and handed out as ever.
"""

import dataclasses
from functools import cached_property
from types import ModuleType
from typing import Any

from torch import Tensor

from mmdet_lcp.comparison.peers import torch_kirigami, torch_pruning
from mmdet_lcp.comparison.peers.packages import package
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json, write_json
from mmdet_lcp.pruning.criteria.base import Criterion, Selection
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.runner import PruningRunner
from mmdet_lcp.pruning.targets.cost_model import macs_model
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.registry import CRITERIA, RUNNERS

_CHOICE = 'peer.json'
NEAR = 0.01  # of the budget; further off is told


_PEERS: dict[str, ModuleType] = {
    peer.MODULE: peer for peer in (torch_pruning, torch_kirigami)
}  # each has NAME, IMPORTANCES and choose_channels


@CRITERIA.register_module()
class PeerChoice(Criterion):
    """Keeps what another package has left of each group.

    Args:
        peer: ``'torch_pruning'`` or ``'torch_kirigami'``.
        importance: one of the peer's.
    """

    def __init__(self, peer: str, importance: str) -> None:
        for key, value, known in (
            ('peer', peer, _PEERS),
            ('importance', importance, _PEERS[peer].IMPORTANCES if peer in _PEERS else ()),
        ):
            if value not in known:
                choices = ', '.join(map(repr, known))
                raise CompressionError(
                    f'pruning.criterion.{key}={value!r} must be one of {choices}'
                )
        self.peer = _PEERS[peer]
        package(peer)  # missing, it is told before anything runs
        self.importance = importance
        self.keep: dict[str, list[int]] = {}

    def select(self, problem: SelectionProblem, keep: int) -> Selection:
        """What was chosen; there are no scores that compare."""
        return Selection(list(self.keep[problem.name]), [0.0] * problem.channels)

    def removal_costs(self, problem: SelectionProblem, least: int) -> Tensor:
        """It has none: it shares the removal out itself."""
        raise CompressionError(
            f'pruning.criterion: {self.peer.NAME} shares a target out by itself: take '
            "runner_type='mmdet_lcp.PeerPruningRunner'"
        )


@RUNNERS.register_module()
class PeerPruningRunner(PruningRunner):
    """A `PruningRunner` whose criterion is a peer's choice.

    The share of the multiply-accumulates that stays is that of `pruning.target`, or what
    `pruning.ratio` would leave.
    """

    @cached_property
    def job(self) -> PruningJob:
        """See `PruningRunner.job`; the peer has chosen."""
        job = PruningRunner.job.func(self)
        if self.pruning.target is None:
            job.share_out(self._allocation(job))
            self._tell_stages(job)
        # A peer's numbers of channels need not be those that the config's steps allow.
        job.stages = [dataclasses.replace(s, divisor=1, least=1) for s in job.stages]
        return job

    def _allocation(self, job: PruningJob) -> Allocation:
        """What the peer leaves; chosen once a run."""
        path = self.state.folder / _CHOICE

        def work() -> dict[str, Any]:
            if not path.exists():
                write_json(path, self._choose(job))
            return read_json(path)

        found = on_main(work)
        self.pruning.criterion.keep = found['keep']
        peer = self.pruning.criterion.peer.NAME
        for name in found['left_out']:
            self.logger.warning(
                f'{name}: {peer} ties its channels to others than this package does, and '
                'was kept from pruning it'
            )
        counts = {name: len(channels) for name, channels in found['keep'].items()}
        share = found['cost'] / found['dense']
        if share < (1 - NEAR) * found['asked']:
            self.logger.warning(
                f'{peer} leaves {share:.3f} of the multiply-accumulates, where '
                f'{found["asked"]:.3f} may remain: the last channels that it took had more'
            )
        return Allocation('macs', found['asked'], share, 0.0, found['dense'], counts)

    def _choose(self, job: PruningJob) -> dict[str, Any]:
        groups = [stage.group for stage in job.stages]
        model = macs_model(job.dense, groups, job.image_size)
        dense = model.total([group.channels for group in groups])
        target, criterion = self.pruning.target, self.pruning.criterion
        peer = criterion.peer.NAME
        if target is not None and target.cost != 'macs':
            raise CompressionError(
                f'pruning.target.{target.cost}: {peer} is compared at multiply-accumulates'
            )
        budget = (
            model.total([stage.keep for stage in job.stages])
            if target is None
            else target.share * dense
        )
        step = max(stage.divisor for stage in job.stages)  # it knows one for all layers
        count = sum(group.channels for group in groups)
        self.logger.info(f'{peer} chooses among {count} channels of {len(groups)} groups')
        choice = criterion.peer.choose_channels(
            job.dense,
            groups,
            job.images.batches,
            criterion.importance,
            budget,
            model.total,
            step if step > 1 else None,
        )
        self.logger.info(
            f"{peer}'s detector and this one differ by {choice.difference:.1e} of the "
            'largest output'
        )
        keep = {g.name: choice.keep.get(g.name, list(range(g.channels))) for g in groups}
        return dict(
            keep=keep,
            cost=choice.cost,
            dense=dense,
            asked=budget / dense,
            left_out=choice.left_out,
            difference=choice.difference,
        )
