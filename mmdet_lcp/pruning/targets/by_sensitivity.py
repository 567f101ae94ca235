"""From a sensitivity analysis to ratios: every group loses equally much for what it saves.

Equal slopes are what a least total damage under a budget demands (Lagrange), if the damages of
the groups add up and each grows faster and faster.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.targets.planner import Allocation, TargetPlanner
from mmdet_lcp.pruning.targets.target import Target
from mmdet_lcp.report.sensitivity import RATIOS_JSON, Sensitivity


def share_by_sensitivity(
    sensitivity: Sensitivity,
    target: Target,
    stages: Mapping[str, Stage],
    dense: nn.Module,
    image_size: tuple[int, int],
    folder: Path,
    tell: Callable[[str], None],
) -> Allocation:
    """Share a target out by measured damages, and write ``ratios.json`` for `pruning.ratio`.

    Between the measured ratios the damage is interpolated, and made convex; a group's largest
    measured ratio is its limit.

    Args:
        sensitivity: the measurements; judged by the loss, or else by the main metric.
        target: the share of the dense detector's cost that may remain.
        stages: of each group one, by its name.
        dense: the dense detector.
        image_size: (height, width) in pixels.
        folder: where the file goes.
        tell: takes lines for the user.

    Raises:
        CompressionError: the target cannot be reached, or a group has not been measured.
    """
    measure = sensitivity.measures()[0]
    lowest, costs = [], []
    for name, channels in sensitivity.groups.items():
        points = damage_points(sensitivity, name, measure)
        least = channels - points[-1][0]
        lowest.append(dataclasses.replace(stages[name], asked=least, keep=least, least=least))
        costs.append(slopes(points))
    planner = TargetPlanner(
        # What is measured needs no caution.
        dataclasses.replace(target, max_ratio=max(sensitivity.ratios), spread=math.inf),
        lowest,
        dense,
        image_size,
        folder,
        tell,
        'measure with a larger one among --ratios',
    )
    (allocation,) = planner.share_out(costs, priced=False)
    write_json(folder / RATIOS_JSON, as_ratios(allocation, sensitivity.groups))
    return allocation


def damage_points(sensitivity: Sensitivity, group: str, measure: str) -> list[tuple[int, float]]:
    """(channels removed, damage) of a group, rising, beginning with (0, 0).

    Of cells with as many channels the first one counts; from one on that broke the detector (its
    loss is not finite) none does.

    Raises:
        CompressionError: the group has no cell left.
    """
    points = {0: 0.0}
    for cell in sorted(sensitivity.cells, key=lambda cell: cell.ratio):
        if cell.group == group:
            damage = sensitivity.damage(cell, measure)
            if not math.isfinite(damage):
                break
            points.setdefault(sensitivity.groups[group] - cell.kept, damage)
    if len(points) == 1:
        raise CompressionError(
            f'{group} has no finite measurement at any ratio: measure with a smaller one among '
            '--ratios, or leave the group out of pruning.layers'
        )
    return sorted(points.items())


def slopes(points: Sequence[tuple[int, float]]) -> list[float]:
    """What each further channel costs, between points of (channels removed, damage)."""
    costs: list[float] = []
    for (first, before), (last, after) in itertools.pairwise(points):
        costs += [(after - before) / (last - first)] * (last - first)
    return costs


def as_ratios(allocation: Allocation, channels: Mapping[str, int]) -> dict[str, float]:
    """A mapping for `pruning.ratio`: a regular expression for each group that loses channels."""
    return {
        f'^{re.escape(name)}$': (channels[name] - count) / channels[name]
        for name, count in allocation.counts.items()
        if count < channels[name]
    }
