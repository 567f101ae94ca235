"""Try ways to share a target out: prune a copy of the detector by each, and look what is left.

Costs are those of one group alone on the dense detector. What several groups lose together they
do not tell, and which way is best differs from detector to detector; EagleEye (Li et al., ECCV
2020) chooses among pruned networks by what they are worth before training, too.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from mmdet_lcp.engine.pace import Pace
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.distill import distance
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.removal import remove_all
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.report.tables import format_seconds


def nearest(
    job: PruningJob,
    allocations: Sequence[Allocation],
    config: RemovalConfig,
    tell: Callable[[str], None],
) -> Allocation:
    """The allocation whose pruned detector writes what is nearest to the dense one's outputs.

    Each is pruned without training, and measured on the selection images without annotations. Of
    equals the first one is taken. A single allocation is not tried.

    Args:
        job: at its beginning; it stays as it is.
        allocations: at least one; of ``spread='auto'``.
        config: criterion and update.
        tell: takes lines for the user.
    """
    if len(allocations) == 1:
        return allocations[0]
    tell(
        f'Trying {len(allocations)} ways to share the target out (target.spread), each on a copy '
        'that is pruned without training'
    )
    pace = Pace(len(allocations), 0)
    found: list[float] = []
    for number, allocation in enumerate(allocations, 1):
        with pace.stage():
            found.append(_distance(job, allocation, config))
        left = pace.seconds_left(number, 0)
        text = f'{number}/{len(allocations)}: spread {allocation.spread:g}, '
        text += f"distance to the dense detector's outputs {found[-1]:.4g}"
        tell(f'{text}, about {format_seconds(left)} left' if left else text)
    best = min(range(len(found)), key=found.__getitem__)
    tell(f'Taken: spread {allocations[best].spread:g}')
    return allocations[best]


def _distance(job: PruningJob, allocation: Allocation, config: RemovalConfig) -> float:
    """What is left of the outputs; infinite where they are not finite."""
    alone = replace(job.alone(), skipped=list(job.skipped))
    alone.share_out(allocation)
    for _ in remove_all(alone, replace(config, objective=config.objective.alone())):
        pass
    found = distance(alone.detector, job.dense, job.images.batches)
    return found if math.isfinite(found) else math.inf
