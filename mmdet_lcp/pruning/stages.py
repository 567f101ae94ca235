"""Stages: which groups are pruned, in which order, and how many channels of each stay."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.graph.blocks import stage_of
from mmdet_lcp.graph.stage import Skipped, Stage
from mmdet_lcp.pruning.channel_steps import step_of
from mmdet_lcp.pruning.config import KEY, PruningConfig
from mmdet_lcp.pruning.targets.allocation import smallest


def choose_stages(
    detector: nn.Module, groups: Sequence[ChannelGroup], config: PruningConfig
) -> tuple[list[Stage], list[Skipped]]:
    """Apply the config's `layers`, `stages` and `ratio` to the groups of a detector.

    With a `target` instead of a ratio, the stages have the smallest number of channels that may
    stay; `with_counts` puts the final ones there.

    Returns:
        The stages in order of execution, and every group that is left alone.

    Raises:
        CompressionError: a regular expression matches no group, or nothing is left to prune.
    """
    stages: list[Stage] = []
    skipped: list[Skipped] = []
    for pattern in config.layer_patterns:
        _must_match(pattern, groups, f'{KEY}.layers')
    numbers = None if config.stages is None else list(config.stages)
    if isinstance(config.ratio, dict):
        for pattern in config.ratio:
            _must_match(pattern, groups, f'{KEY}.ratio')
    seen_stages = set()
    table = config.steps()
    for group in groups:
        stage = stage_of(detector, group.name) if numbers is not None else None
        seen_stages.add(stage)
        ratio = _ratio(config, group.name)
        if not any(_found(pattern, group.name) for pattern in config.layer_patterns):
            reason = f'{KEY}.layers does not match it'
        elif numbers is not None and stage not in numbers:
            reason = f'{KEY}.stages does not list its stage'
        elif group.obstacle:
            reason = group.obstacle
        elif not set(group.kinds) <= set(config.kinds):
            reason = _other_kind(group, config)
        elif ratio is None and config.target is None:
            reason = f'{KEY}.ratio has no pattern that matches it'
        else:
            # Both count a layer's channels, of which several may go together.
            divisor = step_of(detector, group, config.channel_divisor, table)
            fewest = -(-config.min_channels // group.unit)
            if config.target is not None:
                asked = keep = least = smallest(
                    group.channels, divisor, fewest, config.target.max_ratio
                )
            else:
                asked = round_half_up(group.channels * (1 - ratio))
                least = -(-fewest // divisor) * divisor
                keep = min(max(to_divisor(asked, divisor), least), group.channels)
            if keep < group.channels:
                stages.append(Stage(group, asked, keep, divisor, least))
                continue
            reason = (
                f'all {group.channels} channels stay with channel_divisor='
                f'{config.channel_divisor} and min_channels={config.min_channels}'
            )
            if config.target is not None:
                reason += f' and target.max_ratio={config.target.max_ratio}'
        skipped.append(Skipped(group.name, reason))
    if numbers is not None:
        unknown = [number for number in numbers if number not in seen_stages]
        if unknown:
            there = sorted(s for s in seen_stages if s is not None)
            raise CompressionError(
                f'{KEY}.stages={unknown}: the {type(detector.backbone).__name__} has the '
                f'stages {there}'
            )
    if not stages:
        raise nothing_to_prune(skipped)
    return stages, skipped


def nothing_to_prune(skipped: Sequence[Skipped]) -> CompressionError:
    """The error where every group is left alone."""
    reasons = '\n'.join(f'  {item.name or "the layer itself"}: {item.reason}' for item in skipped)
    return CompressionError(f'there is nothing to prune; group by group:\n{reasons}')


def with_counts(
    stages: Sequence[Stage], counts: Mapping[str, int]
) -> tuple[list[Stage], list[Skipped]]:
    """Stages with the numbers of channels that a target has come to.

    Args:
        stages: with the smallest numbers.
        counts: channels that stay, by the group's name.

    Returns:
        The stages that lose channels, and the groups that stay whole.
    """
    left, whole = [], []
    for stage in stages:
        count = counts[stage.group.name]
        if count < stage.group.channels:
            left.append(dataclasses.replace(stage, asked=count, keep=count))
        else:
            whole.append(
                Skipped(stage.group.name, f'{KEY}.target is reached with all of its channels')
            )
    return left, whole


def round_half_up(value: float) -> int:
    """2.5 -> 3; binary noise such as 2.4999999999 counts as 2.5."""
    return int(value + 0.5 + 1e-9)


def to_divisor(channels: int, divisor: int) -> int:
    """The nearest multiple of ``divisor``, at least one times it."""
    return max(divisor, round_half_up(channels / divisor) * divisor)


def _ratio(config: PruningConfig, name: str) -> float | None:
    if not isinstance(config.ratio, dict):
        return config.ratio
    return next((r for pattern, r in config.ratio.items() if _found(pattern, name)), None)


def _other_kind(group: ChannelGroup, config: PruningConfig) -> str:
    """Why a group is of a kind that the config leaves alone, and what would change that."""
    reasons = []
    if 'coupled' in group.kinds:
        names = ', '.join(member.path for member in group.producers)
        reasons.append(f'{len(group.producers)} layers write these channels together: {names}')
    if 'shared' in group.kinds:
        often = [member.path for member in group.members if member.calls > 1]
        reasons.append(f'{", ".join(often)} runs more than once')
    missing = ', '.join(repr(kind) for kind in group.kinds if kind not in config.kinds)
    found = '; '.join(reasons) or 'one layer writes them'
    return f'{found} (to prune it, add {missing} to {KEY}.kinds)'


def _found(pattern: str, name: str) -> bool:
    """Whether a pattern takes a group; one without a path, a layer by itself, always."""
    return not name or re.search(pattern, name) is not None


def _must_match(pattern: str, groups: Sequence[ChannelGroup], where: str) -> None:
    if not any(_found(pattern, group.name) for group in groups):
        names = ', '.join(group.name for group in groups[:6])
        there = 'is 1 group' if len(groups) == 1 else f'are {len(groups)} groups'
        raise CompressionError(
            f'{where}: {pattern!r} matches no layer. There {there}, first of all {names}'
            f'{_prefix_hint(pattern, groups, where)}'
        )


def _prefix_hint(pattern: str, groups: Sequence[ChannelGroup], where: str) -> str:
    """What to say where a pattern would match further in, as in a detector inside another."""
    prefixes = []
    for group in groups:
        parts = group.name.split('.')
        for inner in range(1, len(parts)):
            if re.search(pattern, '.'.join(parts[inner:])):
                prefixes.append('.'.join(parts[:inner]))
                break
    if not prefixes:
        return ''
    escaped = [re.escape(f'{prefix}.') for prefix in dict.fromkeys(prefixes)]
    patterns = ' or '.join(f"r'^{prefix}{pattern.removeprefix('^')}'" for prefix in escaped)
    return f'. Its layers stand one level further in: say {where}={patterns}'
