"""The budget: every method trains the detector for the same number of iterations."""

from dataclasses import dataclass, fields
from typing import Any

from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.engine.schedules import stretched
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.config import KEY, PruningConfig

# Keys of a phase that say how long and how it trains; others, such as `mimic`, stay.
_LENGTHS = tuple(field.name for field in fields(PhaseConfig))


@dataclass(frozen=True)
class Budget:
    """Training iterations of one run.

    Attributes:
        groups: groups of channels, >= 1.
        finetune: iterations before each of them, >= 0.
        retrain: iterations after the last one, >= 0.
    """

    groups: int
    finetune: int
    retrain: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.groups * self.finetune + self.retrain

    def __str__(self) -> str:
        before = f'{self.groups} x {self.finetune} + ' if self.finetune else ''
        return f'{before}{self.retrain}'


def share_out(total: int, groups: int, finetune: int, name: str) -> Budget:
    """Take what a method needs before each group off the retraining.

    Args:
        total: iterations of the whole run.
        groups: groups of channels.
        finetune: iterations before each.
        name: the method's, for the message.

    Raises:
        CompressionError: nothing would be left for the retraining.
    """
    retrain = total - groups * finetune
    if finetune and retrain <= 0:
        raise CompressionError(
            f'{name}: {groups} groups x {finetune} iterations before each are '
            f'{groups * finetune}, and the whole budget is {total} iterations ({KEY}.finetune '
            f'and {KEY}.retrain of the config): nothing would be left for the retraining. Lower '
            '--finetune-iters, or make the retraining longer'
        )
    return Budget(groups, finetune, retrain)


def total_iterations(pruning: PruningConfig, groups: int, epoch_length: int) -> int:
    """Iterations of a whole run of a config: before each group, and at the end."""
    finetune = pruning.finetune.iterations(epoch_length)
    return groups * finetune + pruning.retrain.iterations(epoch_length)


def set_phases(
    pruning: dict[str, Any], given: PruningConfig, budget: Budget, epoch_length: int
) -> dict[str, Any]:
    """Lay a budget into a `pruning` config; schedules keep their shape.

    Args:
        pruning: the config to change a copy of.
        given: the comparison's own config, read.
        budget: the iterations.
        epoch_length: iterations an epoch.
    """
    pruning = dict(pruning)
    for key, iterations in (('finetune', budget.finetune), ('retrain', budget.retrain)):
        phase = getattr(given, key)
        length = phase.iterations(epoch_length)
        schedule = None
        if iterations and length:
            schedule = stretched(phase.param_scheduler, iterations / length, epoch_length)
        rest = {k: v for k, v in (pruning.get(key) or {}).items() if k not in _LENGTHS}
        pruning[key] = dict(
            **rest,
            max_epochs=None,
            max_iters=iterations,
            lr=phase.lr,
            param_scheduler=schedule,
            val_interval=phase.val_interval,
            **({} if phase.lr_factor is None else dict(lr_factor=phase.lr_factor)),
        )
    return pruning
