"""Share a target out over a job's groups: the criterion's costs, then numbers of channels."""

from collections.abc import Callable
from pathlib import Path

from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.targets.planner import Allocation, TargetPlanner
from mmdet_lcp.pruning.targets.removal_costs import group_removal_costs
from mmdet_lcp.pruning.targets.stopwatches import stopwatch_for
from mmdet_lcp.pruning.trials import best_of
from mmdet_lcp.pruning.wider import wider


def share_out(
    job: PruningJob, config: RemovalConfig, work_dir: Path, tell: Callable[[str], None]
) -> Allocation:
    """How many channels of each group stay, so that the target is met; the same on every rank.

    Args:
        job: with its selection images; its detector stays as it is.
        config: with a target; for ``spread='auto'`` see `best_of`.
        work_dir: where a latency table is kept.
        tell: takes lines for the user.

    Raises:
        CompressionError: the target cannot be reached, or the criterion has no costs.
    """
    planner: TargetPlanner | None = None

    def prepare() -> None:
        nonlocal planner
        planner = TargetPlanner(
            config.target,
            job.stages,
            job.dense,
            job.image_size,
            work_dir,
            tell,
            stopwatch=stopwatch_for(config.target, config.steps()),
            wider=lambda: wider(job.dense, job.groups, config),
            reasons=job.reasons,
        )

    on_main(prepare)
    costs = group_removal_costs(
        config.criterion,
        job.images,
        config.objective,
        job.dense,
        job.detector,
        job.stages,
        job.seed,
        tell,
    )
    found = on_main(
        lambda: [one.to_dict() for one in planner.share_out(costs, config.criterion.priced)]
    )
    return best_of(job, [Allocation(**one) for one in found], config, tell)
