"""Every criterion on one detector: on a group of each make, with the criterion's own update."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp.attachments import DiscriminationAuxiliary, LocalizationAuxiliary, StageAttachment
from mmdet_lcp.criteria import (
    DCP,
    FPGM,
    LCP,
    BackwardElimination,
    BNScale,
    Criterion,
    GroupFisher,
    L1Norm,
    L2Norm,
    Objective,
    RandomChannels,
    Taylor,
    ThiNet,
)
from mmdet_lcp.criteria.images import SelectionImages
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.runner.config import PhaseConfig, PruningConfig
from mmdet_lcp.runner.proposals import proposed_regions
from mmdet_lcp.runner.removal import remove_channels
from mmdet_lcp.runner.selection_set import SelectionSet
from mmdet_lcp.runner.stages import Stage
from mmdet_lcp.runner.support.synthetic import synthetic_batch
from mmdet_lcp.structure import ChannelGroup, Plan, axis_sizes
from mmdet_lcp.structure.following_norms import following_norms
from mmdet_lcp.structure.forward import is_two_stage
from mmdet_lcp.updates import ChannelScaleUpdate, ExactUpdate, NoUpdate, SGDUpdate, Update

# Numbers under a consumer's kernel from which on second moments are taken on half the width.
LARGE = 3000
IMAGES, REGIONS = 2, 24


@dataclass(frozen=True)
class Method:
    """A criterion with its update and with what trains along."""

    criterion: Callable[[], Criterion]
    update: Callable[[], Update] = NoUpdate
    attachment: Callable[[], StageAttachment] | None = None


CRITERIA: dict[str, Method] = {
    'LCP': Method(LCP, lambda: SGDUpdate(steps=2), LocalizationAuxiliary),
    'LCP, exact': Method(BackwardElimination, ExactUpdate),
    'DCP': Method(
        lambda: DCP(channels_per_step=64), attachment=lambda: DiscriminationAuxiliary(losses=1)
    ),
    'ThiNet': Method(lambda: ThiNet(200), lambda: ChannelScaleUpdate(200)),
    'Group Fisher': Method(GroupFisher),
    'Taylor': Method(Taylor),
    'FPGM': Method(FPGM),
    'BN scale': Method(BNScale),
    'L1': Method(L1Norm),
    'L2': Method(L2Norm),
    'random': Method(RandomChannels),
}


@dataclass
class CriterionFacts:
    """What became of a criterion on one detector.

    Attributes:
        groups: how many groups it selected channels of: one of each make.
        attached: on how many of them with what trains along.
        narrow: how many of them on the detector of half the width.
        left_out: how many groups of all it cannot work on, by reason.
        failures: what went wrong otherwise, by group.
    """

    groups: int = 0
    attached: int = 0
    narrow: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def try_criterion(
    name: str,
    dense: nn.Module,
    groups: Sequence[ChannelGroup],
    half: nn.Module,
    half_groups: Sequence[ChannelGroup],
    size: int,
) -> CriterionFacts:
    """Let a criterion select half of the channels of one group of each make.

    Args:
        name: in `CRITERIA`.
        dense: the detector.
        groups: its groups.
        half: the same detector with half of its channels.
        half_groups: its groups.
        size: side of the images in pixels.
    """
    facts = CriterionFacts()
    method = CRITERIA[name]
    fits = []
    for group in groups:
        try:
            method.criterion().check(dense, group)
            method.update().check(dense, group)
            fits.append(group)
        except CompressionError as error:
            reason = str(error).partition(': ')[2].partition('. ')[0]
            facts.left_out[reason] = facts.left_out.get(reason, 0) + 1
    moments = method.update is ExactUpdate
    wide = [g for g in fits if not moments or _rows(dense, g) <= LARGE]
    names = {group.name for group in fits} - {group.name for group in wide}
    for detector, chosen in (
        (dense, of_each_make(dense, wide)),
        (half, of_each_make(half, [g for g in half_groups if g.name in names])),
    ):
        if chosen:
            _run(method, detector, chosen, size, facts)
            facts.narrow += len(chosen) if detector is half else 0
    return facts


def _run(
    method: Method,
    dense: nn.Module,
    groups: Sequence[ChannelGroup],
    size: int,
    facts: CriterionFacts,
) -> None:
    """Remove channels of the groups, one after the other, from a copy of the detector."""
    dense = copy.deepcopy(dense).eval().requires_grad_(False)
    detector = copy.deepcopy(dense).requires_grad_(True)
    inputs, samples = synthetic_batch(IMAGES, size, dense)
    regions = None
    if is_two_stage(dense):
        regions = proposed_regions(dense, inputs, samples, REGIONS)
    images = SelectionImages(inputs, None, samples, regions)
    criterion, update = method.criterion(), method.update()
    none = PhaseConfig(max_epochs=0)
    pruning = PruningConfig(criterion, update, none, none)
    totals, plan = axis_sizes(dense, groups), Plan()
    norms = following_norms(dense, (size, size))
    for group in groups:
        stage = Stage(group, group.channels // 2, max(group.channels // 2, 1))
        try:
            trained = _attached(method, detector, stage, images)
            selection = SelectionSet([images], 1 << 30, norms=norms)
            removal = remove_channels(
                stage, pruning, Objective(), selection, dense, detector, plan, totals, 0, trained
            )
            plan = removal.plan
            facts.groups += 1
            facts.attached += len(trained) > 1
        except CompressionError as error:
            facts.failures[group.name] = ' '.join(str(error).split())[:300]
    with torch.no_grad():
        outputs = [t for t in tree_leaves(images.run(detector.eval())) if isinstance(t, Tensor)]
    if not all(output.isfinite().all() for output in outputs):
        facts.failures['all groups'] = 'the outputs of the pruned detector are not finite'


def _attached(
    method: Method, detector: nn.Module, stage: Stage, images: SelectionImages
) -> dict[str, Any]:
    """What trains along, untrained, where it can; see `SelectionSet.problem`."""
    if method.attachment is None:
        return {'auxiliary': None}
    attachment = method.attachment()
    try:
        attachment.check(detector, [stage])
        sampler = attachment.sampler(detector)
        if sampler is not None:
            images.samples = sampler.sample_images(detector, images.inputs, images.data_samples)
        torch.manual_seed(0)
        attached = attachment.attach(detector, [stage], 0)
    except CompressionError:
        return {'auxiliary': None}
    return {'auxiliary': None, 'attached': None, **attached.for_selection()}


def of_each_make(detector: nn.Module, groups: Sequence[ChannelGroup]) -> list[ChannelGroup]:
    """One group of each make: the same kinds, and the same classes of layers in each role."""
    found: dict[tuple, ChannelGroup] = {}
    for group in groups:
        make = [group.kinds, group.unit]
        for role in (group.producers, group.norms, group.consumers):
            classes = {
                (type(module).__name__, getattr(module, 'kernel_size', None), member.calls > 1,
                 len(member.index) // group.channels)
                for member in role
                for module in [detector.get_submodule(member.path)]
            }  # fmt: skip
            make.append(tuple(sorted(map(str, classes))))
        found.setdefault(tuple(make), group)
    return list(found.values())


def _rows(detector: nn.Module, group: ChannelGroup) -> int:
    return max(detector.get_submodule(m.path).weight[0].numel() for m in group.consumers)
