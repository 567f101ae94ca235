"""The training loop of a run with several phases: one count of epochs and iterations.

Counting over all phases makes mmengine's ETA speak of the whole run, keeps the steps of
TensorBoard and the like ascending, and gives every epoch its own shuffle.
"""

from dataclasses import dataclass

from mmengine.dist import all_reduce_params
from mmengine.hooks import IterTimerHook
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.engine.quiet import without_tables
from mmdet_lcp.seeds import derive, set_all


@dataclass(frozen=True)
class Phase:
    """A piece of training inside the run.

    Attributes:
        config: its config.
        first_epoch: number of epochs of the run before it.
        epochs: its own epochs; the last one may be cut short.
        first_iter: number of iterations of the run before it.
        iters: its own iterations.
    """

    config: PhaseConfig
    first_epoch: int
    epochs: int
    first_iter: int
    iters: int

    @property
    def end_epoch(self) -> int:
        """Epochs of the run when it has ended."""
        return self.first_epoch + self.epochs

    @property
    def end_iter(self) -> int:
        """Iterations of the run when it has ended."""
        return self.first_iter + self.iters


def schedule_phases(configs: list[PhaseConfig], epoch_length: int) -> list[Phase]:
    """Lay phases end to end.

    Args:
        configs: in order.
        epoch_length: iterations in a full epoch.
    """
    phases: list[Phase] = []
    epoch = iteration = 0
    for config in configs:
        iters = config.iterations(epoch_length)
        phase = Phase(config, epoch, -(-iters // epoch_length), iteration, iters)
        phases.append(phase)
        epoch, iteration = phase.end_epoch, phase.end_iter
    return phases


class PhaseTrainLoop(EpochBasedTrainLoop):
    """Runs one phase after the other; see the module's docstring.

    Args:
        runner: the runner.
        dataloader: data loader or its config.
    """

    def __init__(self, runner, dataloader) -> None:
        super().__init__(runner, dataloader, max_epochs=0, val_interval=1)

    def plan(self, phases: list[Phase]) -> None:
        """Set the whole run's length."""
        self._max_epochs = phases[-1].end_epoch
        self._max_iters = phases[-1].end_iter

    def run_phase(self, phase: Phase) -> nn.Module:
        """Train from where the counters stand to the end of a phase."""
        runner = self.runner
        runner.call_hook('before_train')
        for hook in runner.hooks:
            if isinstance(hook, IterTimerHook):
                # It counts iterations from here on, but goes on adding up the seconds.
                hook.time_sec_tot = 0
        while self._epoch < phase.end_epoch and not self.stop_training:
            # The last epoch of a phase may be a part of one.
            self._stop_at = phase.end_iter
            self.run_epoch()
            local = self._epoch - phase.first_epoch
            interval = phase.config.val_interval
            if interval and local % interval == 0 and runner.val_loop is not None:
                with without_tables(runner.logger):
                    runner.val_loop.run()
        runner.call_hook('after_train')
        self._epoch, self._iter = phase.end_epoch, phase.end_iter
        self.stop_training = False
        return runner.model

    def run_epoch(self) -> None:
        """One epoch, on random numbers of its own; saved at its end."""
        runner = self.runner
        runner.call_hook('before_train_epoch')
        set_all(derive(runner.seed, 'epoch', self._epoch, runner.rank))
        runner.model.train()
        for index, batch in enumerate(self.dataloader):
            self.run_iter(index, batch)
            if self._iter >= self._stop_at:
                break
        # Batch statistics of all ranks; a sum of masks or of indices would overflow.
        statistics = [buffer for buffer in runner.model.buffers() if buffer.is_floating_point()]
        all_reduce_params(statistics, op='mean')
        runner.call_hook('after_train_epoch')
        self._epoch += 1
        runner.save_progress()

    def skip_to(self, epoch: int, iteration: int) -> None:
        """Set the counters, when work is resumed."""
        self._epoch, self._iter = epoch, iteration
