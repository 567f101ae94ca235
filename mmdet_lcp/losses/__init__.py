"""The losses of the compression methods, as pure functions and small modules."""

from .auxiliary_loss import LocalizationAwareLoss
from .feature_mimic_loss import FeatureMimicLoss, MapPair
from .reconstruction_loss import reconstruction_loss

__all__ = ['FeatureMimicLoss', 'LocalizationAwareLoss', 'MapPair', 'reconstruction_loss']
