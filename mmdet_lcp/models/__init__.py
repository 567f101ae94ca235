"""What mmdet lacks: backbones, and the factory that rebuilds pruned detectors."""

from .narrow_vgg import NarrowVGG
from .pruned_detector import pruned_detector

__all__ = ['NarrowVGG', 'pruned_detector']
