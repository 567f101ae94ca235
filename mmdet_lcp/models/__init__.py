"""What mmdet lacks: backbones, and the factories that rebuild compressed detectors."""

from .binary_input_detector import binary_input_detector
from .feature_transform import FeatureTransform
from .mobilenet_v1 import MobileNetV1
from .narrow_vgg import NarrowVGG
from .pruned_detector import pruned_detector
from .shufflenet_v1 import ShuffleNetV1
from .upsampled_backbone import UpsampledBackbone
from .vgg import VGG

__all__ = [
    'VGG',
    'FeatureTransform',
    'MobileNetV1',
    'NarrowVGG',
    'ShuffleNetV1',
    'UpsampledBackbone',
    'binary_input_detector',
    'pruned_detector',
]
