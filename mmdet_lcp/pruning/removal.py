"""One group loses its channels: the criterion selects, the update repairs, surgery removes."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, apply_plan, mask_plan
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.graph.surgery import needs_fresh_inputs
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.report.facts import GroupFacts
from mmdet_lcp.seeds import derive
from mmdet_lcp.selection.loss_term import LossTerm
from mmdet_lcp.selection.norm_statistics import settle_statistics


@dataclass(frozen=True)
class Removal:
    """What became of a group.

    Attributes:
        stage: the group, and how many of its channels were to stay.
        plan: what stays of the detector, this group included.
        keep: the group's channels that stay.
        log: figures of the criterion and of the update.
        seconds: that the criterion took.
    """

    stage: Stage
    plan: Plan
    keep: list[int]
    log: dict[str, float]
    seconds: float

    @property
    def facts(self) -> GroupFacts:
        """The group's line in a report."""
        unit = self.stage.group.unit
        return GroupFacts(
            self.stage.group.name,
            self.stage.group.channels * unit,
            self.stage.asked * unit,
            len(self.keep) * unit,
            self.seconds,
            self.log,
        )


def remove_channels(
    job: PruningJob,
    stage: Stage,
    config: RemovalConfig,
    seed: int,
    attached: Sequence[LossTerm] = (),
    objective: Objective | None = None,
) -> Removal:
    """Remove a group's channels from the job's detector, in place; the same on every rank.

    The job's records stay as they are: see `PruningJob.plan` and `PruningJob.facts`.

    Args:
        job: the detector, and what has been pruned of it so far.
        stage: the group, and how many of its channels stay.
        config: criterion and update.
        seed: for criteria that draw at random.
        attached: terms of what has trained along (`Attachment.for_selection`).
        objective: weights of the loss that both see; the config's by default.

    Raises:
        CompressionError: the criterion keeps a number of channels that it may not.
    """
    began = time.time()
    problem = job.images.problem(
        stage.group,
        job.dense,
        job.detector,
        job.plan,
        objective or config.objective,
        seed=seed,
        attached=attached,
        needs_metrics=config.criterion.needs_metrics,
        round_up=stage.round_up,
    )
    selection = config.criterion.select(problem, stage.keep)
    seconds = time.time() - began
    keep = on_main(lambda: selection.keep)
    check_count(stage, keep)
    removed = sorted(set(range(stage.group.channels)) - set(keep))
    left = job.plan.remove(stage.group, removed, job.totals)
    if selection.kernels is not None:
        problem.write(selection.kernels)
    mask_plan(job.detector, left, done=job.plan)
    if needs_fresh_inputs(job.detector, stage.group):
        problem.inputs_changed()
    log = {**selection.log, **config.update.apply(problem, keep)}
    apply_plan(job.detector, left, done=job.plan)
    return Removal(stage, left, keep, log, seconds)


def remove_all(job: PruningJob, config: RemovalConfig) -> Iterator[Removal]:
    """Prune group after group, and settle the statistics of the batch norms; nothing is trained.

    The job's detector is pruned in place, and its records are added to; what is given is each
    group's removal, as soon as it is done. The statistics follow behind the last one.

    Args:
        job: at its beginning, with its selection images.
        config: criterion and update.
    """
    for number, stage in enumerate(job.stages):
        removal = remove_channels(job, stage, config, derive(job.seed, 'criterion', number))
        job.take(removal.plan, removal.facts)
        yield removal
    settle_statistics(job.detector, job.images.batches, config.norm_statistics)


def check_count(stage: Stage, keep: list[int]) -> None:
    """Check how many channels a criterion wants to keep.

    Raises:
        CompressionError: more than its budget, or a number that `channel_divisor` or
            `min_channels` does not allow.
    """
    count = len(set(keep))
    if count != len(keep) or not count or stage.round_up(count) != count:
        raise CompressionError(
            f'{stage.group.name}: the criterion keeps {len(keep)} channels, but {stage.keep} at '
            f'most and {stage.least} at least may stay, a multiple of {stage.divisor}'
        )
