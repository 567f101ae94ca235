"""The keys of one piece of training, which all kinds of compression share."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from mmdet_lcp.config.checks import check_integer, check_positive
from mmdet_lcp.engine.schedules import stretched
from mmdet_lcp.errors import CompressionError


@dataclass
class PhaseConfig:
    """One piece of training: the fine-tuning before a group is pruned, or the retraining.

    Attributes:
        max_epochs: length in epochs, >= 0; or ...
        max_iters: ... length in iterations, >= 0. Exactly one of the two.
        lr: learning rate, > 0. A value that suits SGD is some hundred times too large for Adam;
            with neither `lr` nor `lr_factor` the detector's own rate counts, that of
            `optim_wrapper.optimizer`.
        lr_factor: learning rate as a multiple of the detector's own, > 0, which suits every
            optimizer; not together with `lr`.
        param_scheduler: mmengine's schedulers, counted from the phase's own beginning.
        val_interval: validate every so many epochs during the phase; 0 for not at all.
    """

    max_epochs: int | None = None
    max_iters: int | None = None
    lr: float | None = None
    param_scheduler: list[dict] | dict | None = None
    val_interval: int = 0
    lr_factor: float | None = None

    def check(self, where: str) -> None:
        """Raise a CompressionError for a value out of range."""
        if (self.max_epochs is None) == (self.max_iters is None):
            raise CompressionError(f'{where}: give either max_epochs or max_iters')
        for key in ('max_epochs', 'max_iters', 'val_interval'):
            value = getattr(self, key)
            if value is not None:
                check_integer(f'{where}.{key}', value, least=0)
        for key in ('lr', 'lr_factor'):
            if getattr(self, key) is not None:
                check_positive(f'{where}.{key}', getattr(self, key))
        if self.lr is not None and self.lr_factor is not None:
            raise CompressionError(
                f'{where}.lr={self.lr!r} and {where}.lr_factor={self.lr_factor!r} both say the '
                'learning rate: set one of them to None'
            )
        schedulers = self.param_scheduler or []
        if isinstance(schedulers, Mapping):
            schedulers = [schedulers]
        if not isinstance(schedulers, (list, tuple)) or not all(
            isinstance(scheduler, Mapping) for scheduler in schedulers
        ):
            raise CompressionError(
                f'{where}.param_scheduler={self.param_scheduler!r} must be a dict or a list of '
                'dicts'
            )

    def rate(self, own: float | None) -> float | None:
        """The learning rate of this training.

        Args:
            own: the detector's own rate; ``None`` if its optimizer names none.

        Returns:
            ``None`` where the optimizer is to be left as it is.

        Raises:
            CompressionError: a multiple of a rate that is not there.
        """
        if self.lr_factor is None:
            return self.lr
        if own is None:
            raise CompressionError(
                f'lr_factor={self.lr_factor!r} is a multiple of optim_wrapper.optimizer.lr, which '
                'is not in the config: set that, or `lr` instead'
            )
        return own * self.lr_factor

    def times(self, factor: int) -> 'PhaseConfig':
        """The same training, ``factor`` times as long (>= 0), its schedule stretched along."""
        if factor == 1:
            return self
        return dataclasses.replace(
            self,
            max_epochs=None if self.max_epochs is None else self.max_epochs * factor,
            max_iters=None if self.max_iters is None else self.max_iters * factor,
            param_scheduler=stretched(self.param_scheduler, factor) if factor else None,
        )

    def iterations(self, epoch_length: int) -> int:
        """Length in iterations."""
        return self.max_epochs * epoch_length if self.max_iters is None else self.max_iters
