"""prune: channel pruning of a detector, or of any convolutional network, as one Python call.

What a run does with the config's `pruning` key between its trainings: find the groups, let the
criterion select, update the consuming layers, remove. Nothing is trained, unless `distill` asks
for it, and nothing written.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from mmdet_lcp.config.checks import check_integer
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.following_norms import following_norms
from mmdet_lcp.graph.groups import KINDS
from mmdet_lcp.measure.cost import detector_cost
from mmdet_lcp.modes import frozen
from mmdet_lcp.pruning.call_words import in_call_words, in_its_words
from mmdet_lcp.pruning.channel_steps import AUTO
from mmdet_lcp.pruning.components import criterion_of, settings, update_of
from mmdet_lcp.pruning.config import ALL, RemovalConfig
from mmdet_lcp.pruning.criteria import BackwardElimination, Criterion
from mmdet_lcp.pruning.distill import DistillConfig
from mmdet_lcp.pruning.distill import distill as distilled
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.network import check_network, copied
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.ratio_file import is_ratio_file, read_ratios
from mmdet_lcp.pruning.removal import remove_all
from mmdet_lcp.pruning.result import PruningResult
from mmdet_lcp.pruning.share_out import share_out
from mmdet_lcp.pruning.targets.target import Target
from mmdet_lcp.pruning.updates import ExactUpdate, Update
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.given import Images, given_images, labelled
from mmdet_lcp.selection.soundness import check_sound

TARGET = dict(macs=0.5)


@in_its_words
def prune(
    detector: nn.Module,
    images: Images,
    *,
    ratio: float | Mapping[str, float] | str | None = None,
    target: Target | Mapping[str, Any] | None = None,
    criterion: Criterion | type[Criterion] | Mapping[str, Any] | str | None = None,
    update: Update | type[Update] | Mapping[str, Any] | str | None = None,
    layers: str | Sequence[str] | None = None,
    kinds: Sequence[str] = KINDS,
    channel_divisor: int | Literal['auto'] = AUTO,
    runtime: str | None = None,
    step_table: str | None = None,
    min_channels: int = 1,
    objective: Objective | Mapping[str, Any] | None = None,
    selection: SelectionConfig | Mapping[str, Any] | None = None,
    norm_statistics: str | None = None,
    distill: DistillConfig | Mapping[str, Any] | None = None,
    seed: int = 0,
    tell: Callable[[str], None] | None = None,
) -> PruningResult:
    """Remove channels of a trained network; the one that is given stays as it is.

    Args:
        detector: a plain mmdet detector, or any `nn.Module` with a forward on one tensor
            (N, C, H, W); for the latter, criteria and settings that need no boxes and no loss.
        images: a few dozen images of the training set: a tensor or array (N, C, H, W) of
            preprocessed images, several such or single ones (C, H, W), the batches of a data
            loader (of images and labels the images are taken), or a data set. With mmdet's
            ground truth, localization decides as well.
        ratio: fraction of each group's channels that is removed, in (0, 1), or by regular
            expression, also by the name of a JSON file that holds such a mapping.
        target: share of the dense cost that may remain, instead of a ratio; without either
            ``dict(macs=0.5)``, half of the multiply-accumulates.
        criterion: picks the channels: an object, a class, a config dict, or a registered name
            (``'L1Norm'``); exact backward elimination by default. LCP and DCP have no auxiliary
            network here, which only runs from a config train: a warning says so.
        update: what happens to the weights of the consuming layers: likewise; the exact
            least-squares update by default. With the default of both, groups that these cannot
            work on are left alone.
        layers: regular expression, or several, of the layers whose outputs may go; all of them by
            default, of a detector ``r'^backbone\\.'`` for its backbone alone.
        kinds: kinds of groups, of ``'single'``, ``'coupled'``, ``'shared'``; all by default.
        channel_divisor: the number of channels that stay is a multiple of this, >= 1; ``'auto'``
            takes 8, and less in small groups, or what is fast in `runtime` (`RemovalConfig`).
        runtime: what will run the network, such as ``'onnxruntime'``, for ``'auto'``.
        step_table: file with its steps; those of the package unless told.
        min_channels: at least so many channels of a group stay, >= 1.
        objective: weights of the loss that criterion and update see, and terms of your own, see
            `Objective`.
        selection: numbers of images and positions, see `SelectionConfig`.
        norm_statistics: ``'keep'``, ``'recalibrate'`` or ``'best'``, which needs ground truth and
            is the default with it; ``'recalibrate'`` without.
        distill: fine-tuning on the given network's outputs for these images, without annotations,
            see `DistillConfig`; ``{}`` for its defaults, ``None`` for none.
        seed: of all that is drawn; the same seed gives the same plan.
        tell: takes lines about the progress, e.g. ``print``.

    Returns:
        The pruned network, the plan, and what became of each group. The pruned network is in
        train or eval mode and has ``requires_grad`` as the given one.

    Raises:
        CompressionError: nothing can be removed (with the reason for each group), criterion or
            update cannot work on a group, the network cannot be traced, images do not fit it, or
            a value is out of range.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> result = prune(net, torch.randn(2, 3, 16, 16), ratio=0.5)
        >>> result.detector[0].out_channels
        4
    """
    began = time.monotonic()
    check_network(detector)
    check_integer('seed', seed, least=0)
    tell = _teller(tell, detector)
    defaults = criterion is None and update is None
    criterion, update = criterion_of(criterion), update_of(update)
    layers, ratio = _layers(layers), _ratio(ratio, target)
    if ratio is None:
        target = settings(Target, TARGET if target is None else target, 'target')
    objective = settings(Objective, objective, 'objective')
    selection = settings(SelectionConfig, selection, 'selection')
    if distill is not None:
        distill = settings(DistillConfig, distill, 'distill')
    dense = frozen(copied(detector))
    batches = given_images(dense, images, selection, seed)
    known = labelled(batches) and hasattr(dense, 'parse_losses')
    config = RemovalConfig(
        criterion=criterion or BackwardElimination(metric='gradient' if known else 'variance'),
        update=update or ExactUpdate(),
        layers=layers,
        kinds=kinds,
        ratio=ratio,
        target=target,
        channel_divisor=channel_divisor,
        runtime=runtime,
        step_table=step_table,
        min_channels=min_channels,
        objective=objective,
        selection=selection,
        norm_statistics=norm_statistics or ('best' if known else 'recalibrate'),
        distill=distill,
    )
    config.check()
    size = tuple(batches[0].inputs.shape[-2:])
    job = PruningJob.lay_out(copied(detector), dense, size, config, seed, spare=defaults)
    cache = int(selection.cache_gb * 2**30)
    norms = following_norms(dense, size)
    job.see(SelectionSet(batches, cache, selection.positions, norms))
    check_sound(dense, batches, tell)
    if config.target is not None:
        with tempfile.TemporaryDirectory() as folder:  # for a table of latencies
            job.share_out(share_out(job, config, Path(folder), tell))
    for number, removal in enumerate(remove_all(job, config), 1):
        facts = removal.facts
        tell(
            f'{number}/{len(job.stages)} {facts.name}: {facts.total} -> {facts.kept} '
            f'channels, {removal.seconds:.1f} s'
        )
    if distill is not None:
        if distill.num_images > selection.num_images and not isinstance(images, Iterator):
            more = dataclasses.replace(selection, num_images=distill.num_images)
            batches = given_images(dense, images, more, seed, called='images to distill on')
        distilled(job.detector, dense, batches, distill, seed, cache, tell)
    before, after = (detector_cost(each, size, dense) for each in (dense, job.detector))
    return PruningResult(
        detector=job.detector,
        plan=job.plan,
        groups=job.facts,
        members={stage.group.name: stage.group.members for stage in job.stages},
        skipped=[
            dataclasses.replace(item, reason=in_call_words(item.reason, detector))
            for item in job.skipped
        ],
        image_size=size,
        macs=(before['macs'], after['macs']),
        params=(before['params'], after['params']),
        allocation=job.allocation,
        seconds=time.monotonic() - began,
    )


def _layers(layers: str | Sequence[str] | None) -> str | Sequence[str]:
    """What was given, or the default."""
    if layers is None:
        return ALL
    if layers in ('', [], ()) or (isinstance(layers, (list, tuple)) and '' in layers):
        raise CompressionError(
            f"layers={layers!r} names no layer: leave it out for the default, or take '.' for all"
        )
    return layers


def _ratio(ratio: Any, target: Any) -> float | Mapping[str, float] | None:
    """What was given, or read from a file; ``None`` where a target says it."""
    if ratio is not None and target is not None:
        raise CompressionError(
            f'ratio={ratio!r} and target={target!r} both say how many channels go: give one'
        )
    if is_ratio_file(ratio):
        return read_ratios(ratio)
    if isinstance(ratio, Mapping):
        return dict(ratio)
    return ratio


def _teller(tell: Callable[[str], None] | None, detector: nn.Module) -> Callable[[str], None]:
    """What was given, or nobody; it gets lines in the words of a call."""
    if tell is None:
        return lambda line: None
    if not callable(tell):
        raise CompressionError(f'tell={tell!r} must take lines, as print does, or be None')
    return lambda line: tell(in_call_words(line, detector))
