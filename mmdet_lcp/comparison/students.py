"""Students over seeds: several configs, each trained as it says, in one table.

A pruning method is compared at a ratio, on one detector; a student has a config of its own, with
its teacher or without. Everything else (processes, resuming, tables) is that of a comparison.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet_lcp.comparison.cells import Cell, keep_one_checkpoint
from mmdet_lcp.comparison.control_result import with_result
from mmdet_lcp.comparison.plan import ComparisonPlan
from mmdet_lcp.comparison.results.comparison import CONTROL_RESULT
from mmdet_lcp.config.file import read_config
from mmdet_lcp.distillation.config import KEY as MIMIC
from mmdet_lcp.distillation.config import read_mimic_of
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.config import KEY

_RUNNER = 'mmdet_lcp.MimicRunner'


def plan_students(
    configs: Sequence[str], seeds: Sequence[int], cfg_options: Mapping[str, Any] | None = None
) -> ComparisonPlan:
    """Lay out a run for each config and seed.

    Args:
        configs: paths of configs that train a detector, with a teacher or without.
        seeds: one run for each.
        cfg_options: changes to all of them, by dotted key.

    Raises:
        CompressionError: a config cannot be read or prunes, or something is named twice.
    """
    names = [Path(path).stem for path in configs]
    for what, values in (('configs', names), ('--seeds', seeds)):
        if len(set(values)) < len(values):
            raise CompressionError(f'{what}: one is named twice: {", ".join(map(str, values))}')
    if not names or not seeds or min(seeds) < 0:
        raise CompressionError('name at least one config and one seed, 0 or above')
    loaded = [_load(path, cfg_options or {}) for path in configs]
    cells = [
        _cell(name, cfg, seed) for seed in seeds for name, cfg in zip(names, loaded, strict=True)
    ]
    return ComparisonPlan(' '.join(map(str, configs)), cells, names, {}, [])


def _cell(name: str, cfg: dict[str, Any], seed: int) -> Cell:
    epochs = cfg['train_cfg']['max_epochs']
    cfg = with_result(keep_one_checkpoint(cfg))
    cfg['randomness'] = {**(cfg.get('randomness') or {}), 'seed': seed}
    return Cell(name, 'config', seed, cfg, f'{epochs} epochs', epochs, result=CONTROL_RESULT)


def _load(path: str, cfg_options: Mapping[str, Any]) -> dict[str, Any]:
    """A config as plain data."""
    plain = read_config(path, cfg_options).to_dict()
    for key in ('resume', 'work_dir'):
        plain.pop(key, None)
    kind = plain.get('runner_type')
    if KEY in plain or kind not in (None, 'Runner', _RUNNER):
        raise CompressionError(
            f'{path} trains with {kind}: mmdet-lcp compare compares pruning methods, this '
            'compares students'
        )
    if not (plain.get('train_cfg') or {}).get('max_epochs'):
        raise CompressionError(f'{path} has no train_cfg.max_epochs')
    if kind == _RUNNER:
        _resolve_teacher(plain, path)
    return plain


def _resolve_teacher(cfg: dict[str, Any], path: str) -> None:
    """Check the `mimic` key, and make its files' paths absolute, in place."""
    read_mimic_of(cfg)
    teacher = cfg[MIMIC]['teacher']
    for key in ('config', 'checkpoint'):
        if '::' in teacher[key]:
            continue
        if not Path(teacher[key]).is_file():
            raise CompressionError(
                f'{path}: {MIMIC}.teacher.{key}={teacher[key]!r}: there is no such file; train '
                f'the teacher first, or name it with --cfg-options {MIMIC}.teacher.{key}=FILE'
            )
        teacher[key] = str(Path(teacher[key]).resolve())
