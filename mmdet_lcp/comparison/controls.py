"""Controls: the same training without pruning, and the pruned architecture without its weights.

``scratch`` has the pruned detector's channels and new weights, ``uniform`` as many multiply-
accumulates with every group narrowed by the same factor. Both are trained as the dense detector
was, for as long as dense training and pruning take together. ``dense_retrained`` is the dense
detector with its weights, trained on as the pruned ones are.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from mmdet_lcp.comparison.cells import Cell, keep_one_checkpoint
from mmdet_lcp.comparison.control_result import with_result
from mmdet_lcp.comparison.ground import Ground
from mmdet_lcp.comparison.results.comparison import CONTROL_RESULT
from mmdet_lcp.engine.schedules import lasting, stretched
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, apply_plan, axis_sizes
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.measure.cost import detector_cost
from mmdet_lcp.models.pruned_detector import pruned_model_cfg
from mmdet_lcp.pruning.config import KEY, PruningConfig
from mmdet_lcp.pruning.stages import round_half_up

CONTROLS = {
    'scratch': 'Control: the pruned architecture, trained from scratch for as long as dense '
    'training and pruning together.',
    'uniform': 'Control: every group narrowed by the same factor to the MACs of the pruned '
    'detector, trained likewise.',
    'dense_retrained': 'Control: the dense detector with nothing removed, retrained as the pruned '
    'ones are.',
}
FROM_SCRATCH = ('scratch', 'uniform')


def structure(ground: Ground, widths: Sequence[tuple[Stage, int]]) -> Plan:
    """A plan that leaves so many channels of each group; which ones makes no difference here.

    Args:
        ground: the dense detector.
        widths: stage and number of channels that stay, each >= 1.
    """
    totals = axis_sizes(ground.detector, [stage.group for stage, _ in widths])
    plan = Plan()
    for stage, width in widths:
        plan = plan.remove(stage.group, range(width, stage.group.channels), totals)
    return plan


def pruned_structure(ground: Ground, stages: Sequence[Stage]) -> Plan:
    """What every method leaves: how many channels stay is the config's, not the method's."""
    return structure(ground, [(stage, stage.keep) for stage in stages])


def uniform_structure(ground: Ground, stages: Sequence[Stage]) -> tuple[Plan, float]:
    """Narrow all groups by one factor, as near to the pruned detector's MACs as widths allow.

    Returns:
        The plan, and by how much its MACs differ: (uniform - pruned) / pruned.
    """
    wanted = _macs(ground, pruned_structure(ground, stages))

    def widths(factor: float) -> list[tuple[Stage, int]]:
        return [(s, max(1, round_half_up(s.group.channels * factor))) for s in stages]

    def macs(factor: float) -> int:
        return _macs(ground, structure(ground, widths(factor)))

    factor = _nearest(macs, wanted)
    return structure(ground, widths(factor)), macs(factor) / wanted - 1


def scratch_cell(
    name: str, base: dict[str, Any], plan: Plan, ground: Ground, ratio: Any, seed: int, total: int
) -> Cell:
    """The cell of a control that is trained from scratch.

    Args:
        name: one of `FROM_SCRATCH`.
        base: the comparison's config, plain data.
        plan: the architecture.
        ground: the dense detector.
        ratio: the ratio's name.
        seed: the seed, of the initialisation too.
        total: iterations of a pruning run, which come on top of dense training.

    Raises:
        CompressionError: the config does not say how the dense detector is trained.
    """
    train_cfg = base.get('train_cfg') or {}
    dense_epochs = train_cfg.get('max_epochs')
    if not dense_epochs:
        raise CompressionError(
            f'{name}: the config has no train_cfg.max_epochs, so how long the dense detector is '
            'trained is not known; inherit its own config'
        )
    epochs = dense_epochs + math.ceil(total / ground.epoch_length)
    cfg = _plain_training(base, ground, seed, epochs)
    cfg['model'] = pruned_model_cfg(base['model'], plan)
    cfg['load_from'] = None
    cfg['param_scheduler'] = stretched(base.get('param_scheduler'), epochs / dense_epochs)
    text = f'{dense_epochs} + {epochs - dense_epochs} epochs'
    iterations = epochs * ground.epoch_length
    return Cell(name, ratio, seed, cfg, text, iterations, result=CONTROL_RESULT)


def dense_retrained_cell(
    base: dict[str, Any], ground: Ground, ratio: Any, seed: int, total: int
) -> Cell:
    """The cell of the dense detector that is trained on.

    Args:
        base: the comparison's config, plain data.
        ground: the dense detector.
        ratio: the ratio's name.
        seed: the seed.
        total: iterations of a pruning run; rounded up to whole epochs.

    Raises:
        CompressionError: pruning trains nothing, so there is nothing to be compared with.
    """
    if not total:
        raise CompressionError(
            f'dense_retrained: {KEY}.finetune and {KEY}.retrain train for no iteration, so it '
            'would be the dense detector itself'
        )
    retrain = PruningConfig.from_cfg(base).retrain
    epochs = math.ceil(total / ground.epoch_length)
    cfg = _plain_training(base, ground, seed, epochs)
    length = retrain.iterations(ground.epoch_length) / ground.epoch_length
    schedulers = stretched(retrain.param_scheduler, epochs / length) if length else None
    cfg['param_scheduler'] = lasting(schedulers, epochs, epochs * ground.epoch_length)
    wrapper = base['optim_wrapper']
    rate = retrain.rate(wrapper.get('optimizer', {}).get('lr'))
    if rate is not None:
        cfg['optim_wrapper'] = {**wrapper, 'optimizer': {**wrapper['optimizer'], 'lr': rate}}
    total = epochs * ground.epoch_length
    return Cell(
        'dense_retrained', ratio, seed, cfg, f'{epochs} epochs', total, result=CONTROL_RESULT
    )


def _plain_training(
    base: dict[str, Any], ground: Ground, seed: int, epochs: int
) -> dict[str, Any]:
    """The config without its pruning, whose training lasts so long and is measured at its end."""
    cfg = keep_one_checkpoint(base)
    for key in (KEY, 'runner_type', 'resume'):
        cfg.pop(key, None)
    train_cfg = base.get('train_cfg') or {}
    cfg['train_cfg'] = {**train_cfg, 'max_epochs': epochs, 'val_interval': epochs}
    cfg = with_result(cfg, image_size=list(ground.image_size))
    cfg['randomness'] = {**(base.get('randomness') or {}), 'seed': seed}
    return cfg


def _macs(ground: Ground, plan: Plan) -> int:
    detector: nn.Module = apply_plan(copy.deepcopy(ground.detector), plan)
    return detector_cost(detector, ground.image_size)['macs']


def _nearest(macs: Callable[[float], int], wanted: int, steps: int = 14) -> float:
    """The factor in (0, 1] whose MACs, which rise with it, come nearest."""
    low, high = 0.0, 1.0
    tried = {1.0: macs(1.0)}
    for _ in range(steps):
        middle = (low + high) / 2
        tried[middle] = macs(middle)
        if tried[middle] < wanted:
            low = middle
        else:
            high = middle
    return min(tried, key=lambda factor: abs(tried[factor] - wanted))
