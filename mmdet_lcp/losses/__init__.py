"""The losses of the compression methods, as pure functions and small modules."""

from .auxiliary_loss import LocalizationAwareLoss
from .reconstruction_loss import reconstruction_loss

__all__ = ['LocalizationAwareLoss', 'reconstruction_loss']
