"""What mmdet lacks: backbones, and the factories that rebuild compressed detectors."""

from mmdet_lcp.models.binary_input_detector import binary_input_detector
from mmdet_lcp.models.feature_transform import FeatureTransform
from mmdet_lcp.models.mobilenet_v1 import MobileNetV1
from mmdet_lcp.models.narrow_vgg import NarrowVGG
from mmdet_lcp.models.pruned_detector import pruned_detector
from mmdet_lcp.models.shufflenet_v1 import ShuffleNetV1
from mmdet_lcp.models.upsampled_backbone import UpsampledBackbone
from mmdet_lcp.models.vgg import VGG

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
