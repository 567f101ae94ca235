"""Try ways to share a target out: prune a copy of the detector by each, and see what is left.

Costs are those of one group alone on the dense detector. What several groups lose together they
do not tell, and which way is best differs from detector to detector; EagleEye (Li et al., ECCV
2020) chooses among pruned networks by what they are worth before training, too.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn

from mmdet_lcp.engine.pace import Pace
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.distill import distance
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.removal import remove_all
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.report.tables import format_seconds
from mmdet_lcp.selection.given import labelled
from mmdet_lcp.selection.norm_statistics import mean_loss


def best_of(
    job: PruningJob,
    allocations: Sequence[Allocation],
    config: RemovalConfig,
    tell: Callable[[str], None],
) -> Allocation:
    """The allocation that leaves the best detector on the selection images, before any training.

    With annotations that is the one with the smallest loss of the detector; without, or of a
    network that has no loss, the one whose outputs are nearest to the dense detector's. Of equals
    the first one is taken. A single allocation is not tried.

    Args:
        job: at its beginning; its detector and its records stay as they are.
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
    measure, judge = _judge(job)
    pace = Pace(len(allocations), 0)
    found: list[float] = []
    for number, allocation in enumerate(allocations, 1):
        with pace.stage():
            value = judge(_pruned(job, allocation, config))
        found.append(value if math.isfinite(value) else math.inf)
        left = pace.seconds_left(number, 0)
        text = f'{number}/{len(allocations)}: spread {allocation.spread:g}, {measure} {value:.4g}'
        tell(f'{text}, about {format_seconds(left)} left' if left else text)
    best = allocations[found.index(min(found))]
    tell(f'Taken: spread {best.spread:g}')
    return best


def _judge(job: PruningJob) -> tuple[str, Callable[[nn.Module], float]]:
    """What is measured of a pruned detector, in words, and how; the less the better."""
    dense, batches = job.dense, job.images.batches
    if labelled(batches) and hasattr(dense, 'parse_losses'):
        return 'loss', lambda detector: mean_loss(detector, batches)
    words = "distance to the dense detector's outputs"
    return words, lambda detector: distance(detector, dense, batches)


def _pruned(job: PruningJob, allocation: Allocation, config: RemovalConfig) -> nn.Module:
    """A copy of the job's detector, pruned as an allocation says."""
    alone = replace(job.alone(), skipped=list(job.skipped))
    alone.share_out(allocation)
    for _ in remove_all(alone, config):
        pass
    job.images.forget()
    return alone.detector
