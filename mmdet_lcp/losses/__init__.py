"""The losses of the compression methods, as pure functions and small modules."""

from mmdet_lcp.losses.auxiliary_loss import LocalizationAwareLoss
from mmdet_lcp.losses.feature_mimic_loss import FeatureMimicLoss, MapPair
from mmdet_lcp.losses.output_distillation import OutputPart, output_distillation_loss
from mmdet_lcp.losses.reconstruction_loss import reconstruction_loss

__all__ = [
    'FeatureMimicLoss',
    'LocalizationAwareLoss',
    'MapPair',
    'OutputPart',
    'output_distillation_loss',
    'reconstruction_loss',
]
