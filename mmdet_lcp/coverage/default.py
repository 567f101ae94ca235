"""What the package's default takes of a detector: half of its multiply-accumulates, if it can.

Numbers of channels alone are laid out, as a run lays them out before it trains anything. How much
goes does not depend on which channels cost least.
"""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from mmdet_lcp.config.file import read_config
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.pruning.config import KEY, PruningConfig
from mmdet_lcp.pruning.forecast import Forecast
from mmdet_lcp.pruning.stages import choose_stages
from mmdet_lcp.pruning.suited import suited_stages
from mmdet_lcp.pruning.targets.planner import TargetPlanner

FRAGMENT = 'mmdet_lcp::_base_/pruning/lcp_exact.py'
NAMED = 3  # layers


def default_removal(
    dense: nn.Module, groups: Sequence[ChannelGroup], image_size: tuple[int, int]
) -> tuple[float, str]:
    """How much of the multiply-accumulates `FRAGMENT` takes, and what holds the rest.

    Args:
        dense: the detector.
        groups: all of its groups.
        image_size: (height, width) in pixels.

    Returns:
        The share that goes, in [0, 1]; where its target is out of reach, what would go with every
        group at its smallest. Then also words that say which layers hold most, else ``''``.
    """
    config = PruningConfig.from_cfg({KEY: read_config(FRAGMENT)[KEY].to_dict()})
    try:
        stages, skipped = choose_stages(dense, groups, config)
    except CompressionError as error:
        return 0.0, str(error).partition('\n')[0]
    stages, unsuited = suited_stages(dense, stages, config, spare=True)
    if not stages:
        return 0.0, f'criterion and update can work on none of its groups: {unsuited[0].reason}'
    reasons = _reasons(groups, [*skipped, *unsuited])
    try:
        planner = TargetPlanner(
            config.target, stages, dense, image_size, Path(), lambda line: None, reasons=reasons
        )
    except CompressionError as error:
        most = Forecast(dense, groups, image_size).macs_removed(stages)
        return most, _holding(str(error))
    costs = [[1.0] * (stage.group.channels - stage.keep) for stage in stages]
    (allocation,) = planner.share_out(costs, priced=False)
    return 1 - allocation.predicted, ''


def _reasons(groups: Sequence[ChannelGroup], alone: Sequence[Skipped]) -> dict[str, str]:
    """Why layers keep all that they write, by path."""
    why = {item.name: item.reason for item in alone}
    why |= {group.name: group.obstacle for group in groups if group.obstacle}
    return {
        member.path: why[group.name]
        for group in groups
        if group.name in why
        for member in group.producers
    }


def _holding(message: str) -> str:
    """The layers that a planner's message names, on one line."""
    lines = [line.strip() for line in message.splitlines() if line.startswith('  ')]
    return 'most of what is left lies in ' + '; '.join(lines[:NAMED])
