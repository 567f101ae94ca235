"""What is written down while a student trains: for its report, also of a run that was stopped.

``work_dir/mimic_state/`` holds ``run.json``, what was measured, for a training that goes on; and
``so_far.json``, the report so far, until the training ends.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop

from mmdet_lcp.distillation.finish import MimicFinish
from mmdet_lcp.engine.progress import Progress
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json, write_json
from mmdet_lcp.measure.metrics import is_number
from mmdet_lcp.report.facts import LossFacts, StepFacts
from mmdet_lcp.seeds import random_state, set_random_state

STATE = 'mimic_state'
PIECES = 20  # at most, of which the report shows the losses


class MimicRecordHook(Hook):
    """Measures the teacher when a training begins, and keeps validations and losses.

    Random numbers are where they were: a training is the same with and without.

    Args:
        finish: measures, and writes the report.

    Attributes:
        progress: what was measured; a stage is an epoch, or an iteration where there are none.
    """

    priority = 'VERY_LOW'

    def __init__(self, finish: MimicFinish) -> None:
        self.finish = finish
        self.progress = Progress()
        self._at: list[int] = []  # iterations before each step

    def before_train(self, runner: Any) -> None:
        """Measure the teacher, or take what is known of a training that goes on."""
        by_iteration = isinstance(runner.train_loop, IterBasedTrainLoop)
        self.finish.stage = 'iteration' if by_iteration else 'epoch'
        self._every = max(1, runner.max_iters // PIECES) if by_iteration else 0
        known = on_main(lambda: self._known(runner)) if runner.iter else None
        if known is not None:
            self.progress.load(known)
            self._at = known['at']
            self.finish.load(known['measured'])
        else:
            state = random_state()
            runner.logger.info('Measuring the teacher')
            self.finish.measure_dense()
            if not self.finish.not_evaluated:
                runner.record('dense', self.finish.dense_detector)
            set_random_state(state)
        self.write(runner, runner.iter)

    def add(self, step: StepFacts, iteration: int) -> None:
        """Take what was measured after so many iterations."""
        self.progress.steps.append(step)
        self._at.append(iteration)

    def after_train_iter(self, runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:
        """Write, now and then, where no epoch ends."""
        if self._every and self.every_n_train_iters(runner, self._every):
            self.write(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Any) -> None:
        """Write after each epoch."""
        self.write(runner, runner.iter)

    def after_val_epoch(self, runner: Any, metrics: dict[str, Any] | None = None) -> None:
        """Keep what the student was validated with."""
        done = runner.iter if self._every else runner.epoch
        found = {key: float(value) for key, value in (metrics or {}).items() if is_number(value)}
        self.add(StepFacts('trained', f'{self.finish.stage} {done}', found), runner.iter)
        self.write(runner, runner.iter)

    def write(self, runner: Any, iteration: int) -> None:
        """Write down what there is.

        Args:
            runner: trains.
            iteration: how many are done.
        """
        per_epoch = max(1, len(runner.train_dataloader))
        self.progress.stages_done = iteration if self._every else iteration // per_epoch
        self.finish.losses = losses(runner, iteration)
        on_main(lambda: self._write(runner))

    def _write(self, runner: Any) -> None:
        data = {
            'seed': runner.seed,
            **self.progress.to_dict(),
            'at': self._at,
            'measured': self.finish.data(),
            'teacher': self.finish.settings()['teacher'],
        }
        write_json(runner.state.folder / 'run.json', data)
        stages = runner.max_iters if self._every else runner.max_epochs
        self.finish.write_so_far(self.progress, stages)

    def _known(self, runner: Any) -> dict[str, Any] | None:
        """What another process has written down until this iteration."""
        path = runner.state.folder / 'run.json'
        if not path.exists():
            return None
        try:
            known = read_json(path)
            number = sum(at <= runner.iter for at in known['at'])
            known.update(steps=known['steps'][:number], at=known['at'][:number])
            taught = known['teacher']
        except (KeyError, TypeError, ValueError) as error:
            raise CompressionError(
                f'{path} is damaged: {error}. Delete it to go on; the teacher is measured again.'
            ) from error
        return known if taught == self.finish.settings()['teacher'] else None


def losses(runner: Any, iteration: int) -> list[LossFacts]:
    """Means of each loss term over pieces of the training, of what mmengine keeps for its log.

    Args:
        runner: trains.
        iteration: how many are done.

    Returns:
        At most `PIECES`, of equal length up to rounding; on several ranks those of this one.
    """
    kept = {
        key.removeprefix('train/'): np.asarray(history.data[0][-iteration:], float)
        for key, history in runner.message_hub.log_scalars.items()
        if iteration and key.startswith('train/') and 'loss' in key and key != 'train/loss'
    }
    length = max(map(len, kept.values()), default=0)  # mmengine drops what is very old
    terms = {name: values for name, values in kept.items() if len(values) == length}
    edges = np.linspace(0, length, min(PIECES, length) + 1).round().astype(int)
    return [
        LossFacts(
            int(iteration - length + high),
            {name: float(values[low:high].mean()) for name, values in terms.items()},
        )
        for low, high in pairwise(edges)
    ]
