"""Each epoch of mmengine's own loop gets random numbers of its own, so that it can be repeated.

A checkpoint of mmengine's holds no state of random numbers: a training that is resumed would draw
other augmentations than one that nobody has stopped. With workers that outlive an epoch
(``persistent_workers=True``) theirs go on, and are not repeated.
"""

from typing import Any

from mmengine.hooks import Hook

from mmdet_lcp.seeds import derive, set_all


class EpochSeedHook(Hook):
    """Sets all random numbers before an epoch, from the run's seed and the epoch's number."""

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner: Any) -> None:
        """Before the data loader, whose workers are seeded from these numbers, begins."""
        set_all(derive(runner.seed, 'epoch', runner.epoch, runner.rank))
