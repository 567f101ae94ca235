"""What trains along with the detector and leaves no trace in what is deployed."""

from .auxiliary import AuxiliaryNetwork, spatial_scale
from .contextual_roi_align import ContextualRoIAlign, enclosing_boxes
from .default_boxes import DefaultBoxSampler, RoISamples
from .localization_auxiliary import LocalizationAuxiliary
from .taps import Taps, forward_until, run_until

__all__ = [
    'AuxiliaryNetwork',
    'ContextualRoIAlign',
    'DefaultBoxSampler',
    'LocalizationAuxiliary',
    'RoISamples',
    'Taps',
    'enclosing_boxes',
    'forward_until',
    'run_until',
    'spatial_scale',
]
