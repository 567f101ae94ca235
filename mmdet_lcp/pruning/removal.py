"""One group loses its channels: the criterion selects, the update repairs, surgery removes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, apply_plan, mask_plan
from mmdet_lcp.graph.plan import Totals
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.graph.surgery import needs_fresh_inputs
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.problem.problem import Objective
from mmdet_lcp.pruning.problem.selection_set import SelectionSet


@dataclass
class Removal:
    """What became of a group.

    Attributes:
        plan: what stays of the detector, this group included.
        keep: the group's channels that stay.
        log: figures of the criterion and of the update.
        seconds: that the criterion took.
    """

    plan: Plan
    keep: list[int]
    log: dict[str, float]
    seconds: float


def remove_channels(
    stage: Stage,
    pruning: PruningConfig,
    objective: Objective,
    selection_set: SelectionSet,
    dense: nn.Module,
    detector: nn.Module,
    plan: Plan,
    totals: Totals,
    seed: int,
    trained: Mapping[str, Any],
) -> Removal:
    """Remove a group's channels from a detector, in place; the same on every rank.

    Args:
        stage: the group, and how many of its channels stay.
        pruning: criterion and update.
        objective: weights of the loss that both see.
        selection_set: the images.
        dense: the original detector.
        detector: the present one.
        plan: what has been pruned of it so far.
        totals: sizes of the original detector's axes.
        seed: for criteria that draw at random.
        trained: what was trained along, as `SelectionSet.problem` takes it.

    Raises:
        CompressionError: the criterion keeps a number of channels that it may not.
    """
    began = time.time()
    problem = selection_set.problem(
        stage.group,
        dense,
        detector,
        plan,
        objective,
        seed=seed,
        needs_metrics=pruning.criterion.needs_metrics,
        round_up=stage.round_up,
        **trained,
    )
    selection = pruning.criterion.select(problem, stage.keep)
    seconds = time.time() - began
    keep = on_main(lambda: selection.keep)
    check_count(stage, keep)
    removed = sorted(set(range(stage.group.channels)) - set(keep))
    left = plan.remove(stage.group, removed, totals)
    if selection.kernels is not None:
        problem.write(selection.kernels)
    mask_plan(detector, left, done=plan)
    if needs_fresh_inputs(detector, stage.group):
        problem.inputs_changed()
    log = {**selection.log, **pruning.update.apply(problem, keep)}
    apply_plan(detector, left, done=plan)
    return Removal(left, keep, log, seconds)


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
