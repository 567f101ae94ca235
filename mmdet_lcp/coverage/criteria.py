"""Every criterion on one detector: on a group of each make, with the criterion's own update."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp.auxiliary.base import StageAttachment
from mmdet_lcp.auxiliary.discrimination_auxiliary import DiscriminationAuxiliary
from mmdet_lcp.auxiliary.localization_auxiliary import LocalizationAuxiliary
from mmdet_lcp.copies import detached_copy
from mmdet_lcp.coverage.synthetic import synthetic_batch
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup, axis_sizes
from mmdet_lcp.graph.following_norms import following_norms
from mmdet_lcp.graph.forward import is_two_stage
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.modes import evaluated, frozen
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.criteria import (
    DCP,
    FPGM,
    LCP,
    BackwardElimination,
    BNScale,
    Criterion,
    GroupFisher,
    L1Norm,
    L2Norm,
    RandomChannels,
    Taylor,
    ThiNet,
)
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.removal import remove_channels
from mmdet_lcp.pruning.updates import ChannelScaleUpdate, ExactUpdate, NoUpdate, SGDUpdate, Update
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.loss_term import LossTerm
from mmdet_lcp.selection.proposals import proposed_regions
from mmdet_lcp.training_mode.held import in_training

# Numbers under a consumer's kernel from which on second moments are taken on a detector of half
# the width; and how often it may be halved, a VGG's first linear layer under 512 x 7 x 7 most.
LARGE, HALVINGS = 1300, 3
REGIONS = 8  # an image
PIXELS = 2 * 256**2  # of all selection images; at least one image
CACHE = 1 << 30  # bytes


@dataclass(frozen=True)
class TriedMethod:
    """A criterion with its update and with what trains along."""

    criterion: Callable[[], Criterion]
    update: Callable[[], Update] = NoUpdate
    attachment: Callable[[], StageAttachment] | None = None


# Random weights leave activations large where nothing normalises them; DCP's own step diverges.
SMALL_STEP = 1e-6
TRIED: dict[str, TriedMethod] = {
    'LCP': TriedMethod(LCP, lambda: SGDUpdate(passes=2), LocalizationAuxiliary),
    'LCP, exact': TriedMethod(BackwardElimination, ExactUpdate),
    'DCP': TriedMethod(
        lambda: DCP(channels_per_step=256, inner_steps=1, inner_lr=SMALL_STEP),
        attachment=lambda: DiscriminationAuxiliary(losses=1),
    ),
    'ThiNet': TriedMethod(lambda: ThiNet(200), lambda: ChannelScaleUpdate(200)),
    'Group Fisher': TriedMethod(GroupFisher),
    'Taylor': TriedMethod(Taylor),
    'FPGM': TriedMethod(FPGM),
    'BN scale': TriedMethod(BNScale),
    'L1': TriedMethod(L1Norm),
    'L2': TriedMethod(L2Norm),
    'random': TriedMethod(RandomChannels),
}


@dataclass
class CriterionFacts:
    """What became of a criterion on one detector.

    Attributes:
        groups: how many groups it selected channels of: one of each make.
        alone: names of those of them without what trains along, by reason.
        narrow: how many of them on the detector of half the width or less.
        left_out: names of the groups that it cannot work on, of all groups, by reason.
        failures: what went wrong otherwise, by group.
    """

    groups: int = 0
    alone: dict[str, list[str]] = field(default_factory=dict)
    narrow: int = 0
    left_out: dict[str, list[str]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


# The detector with half of its channels removed so many times, and its groups.
Widths = Callable[[int], tuple[nn.Module, Sequence[ChannelGroup]]]


def try_criterion(name: str, width: Widths, size: int) -> CriterionFacts:
    """Let a criterion select half of the channels of one group of each make.

    Args:
        name: in `TRIED`.
        width: the detector, and where the full one takes minutes, narrower ones.
        size: side of the images in pixels.
    """
    facts = CriterionFacts()
    method = TRIED[name]
    dense, groups = width(0)
    fits = []
    for group in groups:
        try:
            method.criterion().check(dense, group)
            method.update().check(dense, group)
            fits.append(group)
        except CompressionError as error:
            facts.left_out.setdefault(_reason(error), []).append(group.name)
    if method.update is not ExactUpdate:
        _run(method, dense, of_each_make(dense, fits), size, facts)
        return facts
    left = {_layer(group) for group in fits}
    for number in range(HALVINGS + 1):
        detector, groups = width(number)
        due = [group for group in groups if _layer(group) in left]
        if number < HALVINGS:
            due = [group for group in due if _rows(detector, group) <= LARGE]
        chosen = of_each_make(detector, due)
        _run(method, detector, chosen, size, facts)
        facts.narrow += len(chosen) if number else 0
        left -= {_layer(group) for group in due}
        if not left:
            break
    facts.failures |= dict.fromkeys(sorted(left), 'a narrower detector has no such group')
    return facts


def _run(
    method: TriedMethod,
    dense: nn.Module,
    groups: Sequence[ChannelGroup],
    size: int,
    facts: CriterionFacts,
) -> None:
    """Remove channels of the groups, one after the other, from a copy of the detector."""
    if not groups:
        return
    dense = frozen(detached_copy(dense))
    detector = detached_copy(dense).requires_grad_(True)
    inputs, samples = synthetic_batch(max(1, min(2, PIXELS // size**2)), size, dense)
    regions = None
    if is_two_stage(dense):
        regions = proposed_regions(dense, inputs, samples, REGIONS)
    images = SelectionImages(inputs, None, samples, regions)
    config = RemovalConfig(criterion=method.criterion(), update=method.update())
    halves = [Stage(group, group.channels // 2, max(group.channels // 2, 1)) for group in groups]
    totals = axis_sizes(dense, groups)
    job = PruningJob(dense, detector, (size, size), list(groups), halves, [], totals, seed=0)
    job.see(SelectionSet([images], CACHE, norms=following_norms(dense, (size, size))))
    for stage in halves:
        try:
            attached = _attached(method, detector, stage, images, facts)
            removal = remove_channels(job, stage, config, 0, attached)
            job.take(removal.plan, removal.facts)
            facts.groups += 1
        except CompressionError as error:
            facts.failures[stage.group.name] = ' '.join(str(error).split())[:300]
    with torch.no_grad():
        outputs = [
            t for t in tree_leaves(images.run(evaluated(detector))) if isinstance(t, Tensor)
        ]
    if not all(t.isfinite().all() for t in outputs if isinstance(t, Tensor)):
        facts.failures['all groups'] = 'the outputs of the pruned detector are not finite'


def _attached(
    method: TriedMethod,
    detector: nn.Module,
    stage: Stage,
    images: SelectionImages,
    facts: CriterionFacts,
) -> list[LossTerm]:
    """Terms of what trains along, untrained, where it can."""
    if method.attachment is None:
        return []
    attachment = method.attachment()
    try:
        attachment.check(detector, [stage])
        sampler = attachment.sampler(detector)
        if sampler is not None:
            with in_training(detector):
                images.samples = sampler.sample_images(
                    detector, images.inputs, images.data_samples
                )
        torch.manual_seed(0)
        attached = attachment.attach(detector, [stage], 0)
    except CompressionError as error:
        facts.alone.setdefault(_reason(error), []).append(stage.group.name)
        return []
    return attached.for_selection()


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


def _reason(error: CompressionError) -> str:
    """The first sentence of a message, without the group or key that it is about."""
    sentence = str(error).partition('. ')[0].rstrip('.')
    about, _, rest = sentence.partition(': ')
    return sentence if ' ' in about or not rest else rest


def _layer(group: ChannelGroup) -> str:
    """The group's name without its range of channels, which depends on the width."""
    return group.name.partition('[')[0]


def _rows(detector: nn.Module, group: ChannelGroup) -> int:
    return max(detector.get_submodule(m.path).weight[0].numel() for m in group.consumers)
