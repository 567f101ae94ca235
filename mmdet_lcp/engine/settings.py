"""What a run was trained with, in words for its report."""

from collections.abc import Sequence
from typing import Any

from mmengine import dist

from mmdet_lcp.compat.mmengine import starting_weights
from mmdet_lcp.engine.phase_loop import Phase


def run_settings(runner: Any, phases: Sequence[tuple[str, Phase]]) -> dict[str, str]:
    """Name and value of each setting that decides a run's result.

    Args:
        runner: its config, seed and loaders are read.
        phases: the trainings of the run, each with what it was for.

    Returns:
        Words by words, in the order in which they are shown.
    """
    found = {'began with': str(starting_weights(runner))}
    rate = (runner.cfg.optim_wrapper.get('optimizer') or {}).get('lr')
    for name in dict.fromkeys(name for name, _ in phases):
        texts = [phase_text(phase, rate) for own, phase in phases if own == name]
        parts = [
            text if texts.count(text) == 1 else f'{texts.count(text)} x {text}'
            for text in dict.fromkeys(texts)
        ]
        found[name] = '; '.join(parts)
    optimizer = runner.cfg.optim_wrapper.get('optimizer') or {}
    kind = optimizer.get('type')
    found['optimizer'] = f'{getattr(kind, "__name__", kind)}' + ''.join(
        f', {key} {value}' for key, value in optimizer.items() if key not in ('type', 'lr')
    )
    ranks, batch = dist.get_world_size(), runner.train_dataloader.batch_size
    found['batch'] = f'{batch} images' + (f' on each of {ranks} ranks' if ranks > 1 else '')
    found['ranks'] = str(ranks)
    found['seed'] = str(runner.seed)
    return found


def phase_text(phase: Phase, rate: float | None) -> str:
    """Length and rate of a piece of training.

    Args:
        phase: it.
        rate: what it trains with unless it has a rate of its own.
    """
    if not phase.iters:
        return 'none'
    own = phase.config.lr if phase.config.lr is not None else rate
    if phase.config.max_iters is None:
        length = f'{phase.epochs} epoch{"" if phase.epochs == 1 else "s"}'
        length += f' ({phase.iters} iterations)'
    else:
        length = f'{phase.iters} iteration{"" if phase.iters == 1 else "s"}'
    return f'{length} at rate {own:g}' if own is not None else length
