"""Which groups a config's criterion, update and attachment can work on."""

from collections.abc import Sequence

from torch import nn

from mmdet_lcp.auxiliary.base import StageAttachment
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.stage import Skipped, Stage
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.problem.consumers import UnsuitedGroupError

ANY = "pruning.criterion.type='L1Norm', pruning.update.type='NoUpdate'"
"""A criterion and an update that ask nothing of a group."""


def suited_stages(
    dense: nn.Module, stages: Sequence[Stage], config: RemovalConfig, spare: bool
) -> tuple[list[Stage], list[Skipped]]:
    """Ask criterion and update about each group.

    Args:
        dense: the dense detector.
        stages: the groups that are to lose channels.
        config: has criterion and update.
        spare: groups that they cannot work on are left alone, instead of an error.

    Returns:
        The stages that they can work on, and the others' groups with the reason.

    Raises:
        CompressionError: they cannot work on all of them; lists the groups that they cannot.
    """
    suited: list[Stage] = []
    refusals: list[CompressionError] = []
    unsuited: list[Skipped] = []
    for stage in stages:
        try:
            config.criterion.check(dense, stage.group)
            config.update.check(dense, stage.group)
        except CompressionError as error:
            refusals.append(error)
            reason = error.reason if isinstance(error, UnsuitedGroupError) else str(error)
            unsuited.append(Skipped(stage.group.name, f'{reason} (to prune it, take {ANY})'))
        else:
            suited.append(stage)
    if refusals and not spare:
        raise CompressionError(_listed(refusals))
    return suited, unsuited


def attachable_stages(
    detector: nn.Module, stages: Sequence[Stage], attachment: StageAttachment, spare: bool
) -> tuple[list[Stage], list[Skipped]]:
    """Ask what trains along about each group.

    Args:
        detector: the detector.
        stages: the groups that are to lose channels.
        attachment: what trains along before each selection.
        spare: groups that it cannot serve are left alone, instead of an error.

    Returns:
        The stages that it can serve, and the others' groups with the reason.

    Raises:
        CompressionError: it cannot serve them, or none of them.
    """
    try:
        attachment.check(detector, stages)
        return list(stages), []
    except CompressionError:
        if not spare:
            raise
    served: list[Stage] = []
    left: list[Skipped] = []
    for stage in stages:
        try:
            attachment.check(detector, [stage])
            served.append(stage)
        except CompressionError as error:
            left.append(Skipped(stage.group.name, str(error)))
    attachment.check(detector, served or stages)
    return served, left


def _listed(refusals: Sequence[CompressionError]) -> str:
    if not all(isinstance(refusal, UnsuitedGroupError) for refusal in refusals):
        return '\n'.join(map(str, refusals))
    groups = '\n'.join(f'  {refusal.group}: {refusal.reason}' for refusal in refusals)
    return (
        f'criterion and update cannot work on all of the groups:\n{groups}\n'
        f'Leave these out of pruning.layers, or take {ANY}, which can'
    )
