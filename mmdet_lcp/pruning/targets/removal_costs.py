"""What the channels of every group cost to remove: the criterion asked on the dense detector."""

import time
from collections.abc import Callable, Sequence

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.criteria import Criterion
from mmdet_lcp.pruning.problem.coherence import effective_positions
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.report.tables import format_seconds
from mmdet_lcp.seeds import derive
from mmdet_lcp.selection.soundness import described


def group_removal_costs(
    criterion: Criterion,
    selection_set: SelectionSet,
    objective: Objective,
    dense: nn.Module,
    detector: nn.Module,
    stages: Sequence[Stage],
    seed: int,
    tell: Callable[[str], None],
) -> list[list[float]]:
    """Score every group alone, before anything is trained or pruned.

    Args:
        criterion: whose costs they are.
        selection_set: the images.
        objective: the loss; what needs something that trains along is left out.
        dense: the original detector.
        detector: a copy of it whose weights take gradients; it stays as it is.
        stages: the groups, and how many channels of each stay at least (`keep`).
        seed: the run's.
        tell: takes lines for the user.

    Returns:
        For each stage the costs of its removals, in order; the same on every rank.

    Raises:
        CompressionError: the criterion has no costs, or they are not finite.
    """
    alone = objective.alone()
    found = []
    images = sum(len(batch.inputs) for batch in selection_set.batches)
    tell(
        f'Scoring {len(stages)} groups on {images} images; the first takes longest, since passes '
        'over the images for all groups come with it'
    )
    began = after_first = time.monotonic()
    counting: dict[str, float] = {}
    if criterion.needs_metrics:
        paths = [member.path for stage in stages for member in stage.group.consumers]
        counting = effective_positions(dense, selection_set.batches, paths)
    for number, stage in enumerate(stages):
        problem = selection_set.problem(
            stage.group,
            dense,
            detector,
            Plan(),
            alone,
            seed=derive(seed, 'criterion', number),
            needs_metrics=criterion.needs_metrics,
        )
        problem.positions_that_count = counting
        costs = criterion.removal_costs(problem, stage.keep)
        if not costs.isfinite().all():
            raise CompressionError(
                f'{stage.group.name}: what its channels cost is not finite. '
                f'{described(dense, selection_set.batches)}'
            )
        found.append(costs.tolist())
        now = time.monotonic()
        text = f'Scored {number + 1}/{len(stages)} groups, {stage.group.name}, '
        text += f'{format_seconds(now - began)} elapsed'
        if number == 0:
            after_first = now
        else:  # at the pace of the groups after the first
            left = (now - after_first) / number * (len(stages) - number - 1)
            text += f', about {format_seconds(left)} left'
        tell(text)
    return found
