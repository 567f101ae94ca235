"""Lines of a config that let more channels go than it does.

For a target that is out of reach, and for a ratio that takes next to nothing.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.graph.groups import KINDS
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.stages import choose_stages

MAX_RATIO = 0.95


def wider(
    detector: nn.Module, groups: Sequence[ChannelGroup], config: RemovalConfig
) -> list[tuple[str, list[Stage]]]:
    """Each line that would help, alone and together with those before it.

    Args:
        detector: the dense detector.
        groups: all of its groups.
        config: with a target or a ratio.

    Returns:
        What to write into `pruning`, and the stages then: with a target at their smallest numbers
        of channels, with a ratio at those that it leaves. Lines that change nothing are left out.
    """
    present = {kind for group in groups if not group.obstacle for kind in group.kinds}
    kinds = tuple(k for k in KINDS if k in {*config.kinds, *present})
    changes: list[tuple[str, dict[str, Any]]] = []
    if tuple(config.layer_patterns) != ('.',) or config.stages is not None:
        text = "layers='.'" + ('' if config.stages is None else ', stages=None')
        changes.append((text, dict(layers='.', stages=None)))
    if {*kinds} != {*config.kinds}:
        changes.append((f'kinds={kinds!r}', dict(kinds=kinds)))
    if config.target is not None and config.target.max_ratio < MAX_RATIO:
        target = dataclasses.replace(config.target, max_ratio=MAX_RATIO)
        changes.append((f'target=dict(max_ratio={MAX_RATIO})', dict(target=target)))
    finer = [key for key in ('channel_divisor', 'min_channels') if getattr(config, key) != 1]
    if finer:
        text = ', '.join(f'{key}=1' for key in finer)
        changes.append((text, dict(channel_divisor=1, min_channels=1)))
    combined = [changes[:count] for count in range(2, len(changes) + 1)]
    steps = [([text], change) for text, change in changes]
    for together in combined:
        merged = {key: value for _, change in together for key, value in change.items()}
        steps.append(([text for text, _ in together], merged))
    found, known = [], {_smallest(_stages(detector, groups, config))}
    for texts, change in steps:
        stages = _stages(detector, groups, dataclasses.replace(config, **change))
        if _smallest(stages) not in known:
            known.add(_smallest(stages))
            found.append((', '.join(texts), stages))
    return found


def _stages(
    detector: nn.Module, groups: Sequence[ChannelGroup], config: RemovalConfig
) -> list[Stage]:
    """Those that criterion and update can work on."""
    kept = []
    try:
        stages = choose_stages(detector, groups, config)[0]
    except CompressionError:  # nothing is left to prune
        return []
    for stage in stages:
        try:
            config.criterion.check(detector, stage.group)
            config.update.check(detector, stage.group)
        except CompressionError:
            continue
        kept.append(stage)
    return kept


def _smallest(stages: Sequence[Stage]) -> frozenset[tuple[str, int]]:
    return frozenset((stage.group.name, stage.keep) for stage in stages)
