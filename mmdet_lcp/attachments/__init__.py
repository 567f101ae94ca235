"""What trains along with the detector and leaves no trace in what is deployed."""

from .attached_detector import AttachedDetector, Attachment
from .auxiliary import AuxiliaryNetwork, spatial_scale
from .base import StageAttachment
from .contextual_roi_align import ContextualRoIAlign, enclosing_boxes
from .default_boxes import DefaultBoxSampler
from .discrimination_auxiliary import DiscriminationAuxiliary
from .feature_mimic import FeatureMimic
from .localization_auxiliary import LocalizationAuxiliary
from .mimic_detector import MimicDetector
from .mimic_teacher import Teacher
from .object_classifier import LayerClassifier, ObjectClassifier
from .point_targets import PointTargetSampler
from .prior_boxes import PriorBoxSampler
from .proposal_boxes import ProposalSampler
from .roi_samples import RoISamples
from .taps import Taps, forward_until, run_until, runs_until

__all__ = [
    'AttachedDetector',
    'Attachment',
    'AuxiliaryNetwork',
    'ContextualRoIAlign',
    'DefaultBoxSampler',
    'DiscriminationAuxiliary',
    'FeatureMimic',
    'LayerClassifier',
    'LocalizationAuxiliary',
    'MimicDetector',
    'ObjectClassifier',
    'PointTargetSampler',
    'PriorBoxSampler',
    'ProposalSampler',
    'RoISamples',
    'StageAttachment',
    'Taps',
    'Teacher',
    'enclosing_boxes',
    'forward_until',
    'run_until',
    'runs_until',
    'spatial_scale',
]
