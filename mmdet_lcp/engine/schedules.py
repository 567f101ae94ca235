"""Learning-rate schedules for a training of another length: the same shape, stretched."""

from collections.abc import Mapping, Sequence
from typing import Any

_TIMES = ('begin', 'end', 'milestones', 'T_max', 'step_size', 'total_steps', 'periods')
_WARM_UPS = ('LinearLR', 'ConstantLR')


def stretched(
    schedulers: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None,
    factor: float,
    epoch_length: int | None = None,
) -> list[dict[str, Any]] | None:
    """Stretch mmengine's schedulers in time; warm-ups stay as long as they were.

    Args:
        schedulers: configs as in `param_scheduler`.
        factor: new length / old length, > 0.
        epoch_length: iterations an epoch; if given, what counts epochs counts iterations then,
            for a training that does not end with an epoch.

    Returns:
        New configs; ``None`` for none.
    """
    if schedulers is None:
        return None
    return [_stretch(dict(scheduler), factor, epoch_length) for scheduler in _listed(schedulers)]


def lasting(
    schedulers: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None, epochs: int, iters: int
) -> list[dict[str, Any]] | None:
    """Schedulers that end with their training where they do not say when they end.

    Args:
        schedulers: configs as in `param_scheduler`.
        epochs: length of the training, a begun one counted whole.
        iters: the same in iterations.

    Returns:
        New configs; ``None`` for none.
    """
    if schedulers is None:
        return None
    return [_lasting(dict(scheduler), epochs, iters) for scheduler in _listed(schedulers)]


def _lasting(scheduler: dict[str, Any], epochs: int, iters: int) -> dict[str, Any]:
    if scheduler.get('convert_to_iter_based') and not any(key in scheduler for key in _TIMES):
        # It counts iterations in the end, so it may end within an epoch.
        del scheduler['convert_to_iter_based']
        scheduler['by_epoch'] = False
    return {'end': epochs if scheduler.get('by_epoch', True) else iters, **scheduler}


def _listed(
    schedulers: Sequence[Mapping[str, Any]] | Mapping[str, Any],
) -> Sequence[Mapping[str, Any]]:
    return [schedulers] if isinstance(schedulers, Mapping) else schedulers


def _stretch(scheduler: dict[str, Any], factor: float, epoch_length: int | None) -> dict[str, Any]:
    kind = str(scheduler['type']).rpartition('.')[2]
    if kind in _WARM_UPS:
        factor = 1.0
    if epoch_length and scheduler.get('by_epoch', True):
        factor *= epoch_length
        scheduler['by_epoch'] = False
        scheduler.pop('convert_to_iter_based', None)
    for key in _TIMES:
        value = scheduler.get(key)
        if isinstance(value, (list, tuple)):
            scheduler[key] = [round(item * factor) for item in value]
        elif isinstance(value, int):
            scheduler[key] = round(value * factor)
    if kind == 'ExponentialLR':
        scheduler['gamma'] = scheduler['gamma'] ** (1 / factor)
    return scheduler
