"""What trains along with the detector and leaves no trace in what is deployed."""

from .attached_detector import AttachedDetector, Attachment
from .auxiliary import AuxiliaryNetwork, spatial_scale
from .base import StageAttachment
from .contextual_roi_align import ContextualRoIAlign, enclosing_boxes
from .default_boxes import DefaultBoxSampler, RoISamples
from .discrimination_auxiliary import DiscriminationAuxiliary
from .localization_auxiliary import LocalizationAuxiliary
from .object_classifier import LayerClassifier, ObjectClassifier
from .taps import Taps, forward_until, run_until

__all__ = [
    'AttachedDetector',
    'Attachment',
    'AuxiliaryNetwork',
    'ContextualRoIAlign',
    'DefaultBoxSampler',
    'DiscriminationAuxiliary',
    'LayerClassifier',
    'LocalizationAuxiliary',
    'ObjectClassifier',
    'RoISamples',
    'StageAttachment',
    'Taps',
    'enclosing_boxes',
    'forward_until',
    'run_until',
    'spatial_scale',
]
