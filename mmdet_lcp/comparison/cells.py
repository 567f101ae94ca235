"""Cells: one run for each method, ratio and seed; each with a config of its own."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdet_lcp.comparison.budget import Budget, set_phases
from mmdet_lcp.comparison.imports import with_imports
from mmdet_lcp.comparison.methods import Method
from mmdet_lcp.comparison.results.comparison import CELLS, REPORT, RUN
from mmdet_lcp.comparison.results.removal_amount import amount_name
from mmdet_lcp.config.fingerprint import fingerprint
from mmdet_lcp.pruning.config import KEY, PruningConfig


@dataclass
class Cell:
    """One run of the comparison.

    Attributes:
        method: its name, in the tables and in the folder's name.
        ratio: fraction of the channels that goes, or another amount; see
            `mmdet_lcp.comparison.results.removal_amount`.
        seed: of all random numbers.
        cfg: its whole config.
        iterations: of training, in words and ...
        total: ... in all.
        update: the update's type; ``None`` for a control.
        result: the file that is there when the run has ended, relative to the cell's folder.
        same_as: name of the cell whose result this one shares, instead of being run.
    """

    method: str
    ratio: float | str
    seed: int
    cfg: dict[str, Any]
    iterations: str
    total: int
    update: str | None = None
    result: str = REPORT
    same_as: str | None = None
    fingerprint: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.fingerprint = fingerprint(self.cfg)

    @property
    def name(self) -> str:
        """The folder's name."""
        return f'{self.method}_r{amount_name(self.ratio)}_s{self.seed}'

    def folder(self, out: Path) -> Path:
        """Its folder below the comparison's."""
        return out / CELLS / self.name

    def is_finished(self, out: Path) -> bool:
        """Whether it has ended, or shares the result of one that is run."""
        return self.same_as is not None or (self.folder(out) / self.result).is_file()

    def has_begun(self, out: Path) -> bool:
        """Whether a process has written something for it."""
        return (self.folder(out) / RUN).exists()

    def facts(self) -> dict[str, Any]:
        """What ``cell.json`` holds."""
        return dict(
            method=self.method,
            update=self.update,
            ratio=self.ratio,
            seed=self.seed,
            iterations=self.iterations,
            same_as=self.same_as,
            fingerprint=self.fingerprint,
        )


def pruning_cell(
    base: dict[str, Any],
    method: Method,
    ratio: float | str,
    seed: int,
    budget: Budget,
    epoch_length: int,
) -> Cell:
    """The cell of a pruning method.

    Args:
        base: the comparison's config with the ratio in it, plain data.
        method: the method.
        ratio: the ratio's name.
        seed: the seed.
        budget: its training.
        epoch_length: iterations an epoch.

    Raises:
        CompressionError: the fragment's keys are not valid.
    """
    given = PruningConfig.from_cfg(base)
    pruning = set_phases(method.apply(base[KEY]), given, budget, epoch_length)
    base = with_imports(base, method.imports)
    cfg = {**keep_one_checkpoint(base), KEY: pruning, 'runner_type': method.runner}
    cfg['randomness'] = {**(base.get('randomness') or {}), 'seed': seed}
    PruningConfig.from_cfg(cfg)
    return Cell(method.name, ratio, seed, cfg, str(budget), budget.total, method.update)


def keep_one_checkpoint(cfg: dict[str, Any]) -> dict[str, Any]:
    """A config that keeps the last of its checkpoints only; dozens of cells fill a disk."""
    hooks = dict(cfg.get('default_hooks') or {})
    if isinstance(hooks.get('checkpoint'), dict):
        hooks['checkpoint'] = {**hooks['checkpoint'], 'max_keep_ckpts': 1}
    return {**cfg, 'default_hooks': hooks} if hooks else dict(cfg)
