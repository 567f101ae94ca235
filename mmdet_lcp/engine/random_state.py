"""The state of all random numbers at the beginning of each epoch of mmengine's own loop, on disk.

A checkpoint of mmengine's does not hold it: a training that is resumed would draw other crops and
flips than one that nobody has stopped. It lies beside the checkpoints, since the numbers that
validation draws come between a checkpoint and the next epoch. Data workers that outlive an epoch
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
        path = Path(runner.work_dir) / FOLDER / f'epoch_{runner.epoch}_rank_{runner.rank}.pth'
        if runner.epoch == self._first > 0 and path.exists():
            set_random_state(load_torch(path))
            return
        with atomic_path(path) as temporary:
            torch.save(random_state(), temporary)
