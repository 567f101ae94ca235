"""Hooks that change images or losses at an epoch: in a run of several phases that may be too soon.

RTMDet and YOLOX train their last epochs without strong augmentation. Their hooks count the epochs
of the whole run, of which the fine-tuning before the groups is the first part.
"""

from collections.abc import Sequence
from typing import Any

from mmdet_lcp.engine.phase_loop import Phase


def switch_warnings(hooks: Sequence[Any], phases: Sequence[Phase]) -> list[str]:
    """What to tell of hooks that would not switch in the last phase.

    Args:
        hooks: of the runner.
        phases: of the run.

    Returns:
        A line for each such hook, which says what to set.
    """
    last = phases[-1]
    found = []
    for hook in hooks:
        key, epoch = _switch(hook, last.end_epoch)
        if key is None or not last.epochs:
            continue
        if last.first_epoch <= epoch < last.end_epoch:
            continue
        when = 'never' if epoch >= last.end_epoch else f'at epoch {max(epoch, 0) + 1}, too soon'
        good = last.end_epoch - max(1, last.epochs // 10)
        value = good if key == 'switch_epoch' else last.end_epoch - good
        found.append(
            f'{type(hook).__name__} switches {when}: the last training of this run is its epochs '
            f'{last.first_epoch + 1} to {last.end_epoch}. For its last tenth, set '
            f'custom_hooks ... {key}={value}'
        )
    return found


def _switch(hook: Any, end: int) -> tuple[str | None, int]:
    """The key that says when a hook switches, and that epoch, counted from 0."""
    if isinstance(epoch := getattr(hook, 'switch_epoch', None), int):
        return 'switch_epoch', epoch
    if isinstance(count := getattr(hook, 'num_last_epochs', None), int):
        return 'num_last_epochs', end - count - 1
    return None, 0
