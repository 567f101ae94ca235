"""The state of all random numbers at the beginning of each epoch of mmengine's own loop, on disk.

A checkpoint of mmengine's does not hold it: a training that is resumed would draw other crops and
flips than one that nobody has stopped. The state is written before the checkpoint of an epoch,
and again when the next one begins: validation, which comes between them, draws numbers too. A
training that is killed between the two goes on without those. Data workers that outlive an epoch
(``persistent_workers=True``) have a state of their own, which is not kept.
"""

from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from mmdet_lcp.files import atomic_path, load_torch
from mmdet_lcp.seeds import random_state, set_random_state

FOLDER = 'random_states'
"""Below the work_dir; a file of some 10 KB for each epoch and rank."""


class RandomStateHook(Hook):
    """Writes the state down before each epoch; takes it back where a training goes on."""

    priority = 'VERY_HIGH'

    def before_train(self, runner: Any) -> None:
        """Note which epoch this process begins with."""
        self._first = runner.epoch

    def before_train_epoch(self, runner: Any) -> None:
        """Before the data loader begins, and draws what its workers are seeded from.

        Raises:
            CompressionError: the file of the epoch that a training goes on with is damaged.
        """
        path = _path(runner, runner.epoch)
        if runner.epoch == self._first > 0 and path.exists():
            set_random_state(load_torch(path))
        else:
            _write(path)

    def after_train_epoch(self, runner: Any) -> None:
        """Before the epoch's checkpoint is written."""
        _write(_path(runner, runner.epoch + 1))


def _path(runner: Any, epoch: int) -> Path:
    return Path(runner.work_dir) / FOLDER / f'epoch_{epoch}_rank_{runner.rank}.pth'


def _write(path: Path) -> None:
    with atomic_path(path) as temporary:
        torch.save(random_state(), temporary)
