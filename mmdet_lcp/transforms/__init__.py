"""Transforms: how a layer's weight is read, and what can be folded away."""

from .attach import attach, fold, transforms_of
from .base import Transform
from .binary_input import BinaryInput, input_scales
from .binary_weights import SignWeight, XNORWeight, filter_scales
from .codebook import Codebook
from .element_mask import ElementMask, mask_by_quality, mask_by_sparsity
from .input_transform import InputTransform, attach_input, input_transforms, rebuild_inputs
from .kmeans import kmeans
from .low_bit import LowBit, LowBitWeight, quantize
from .rebuilding import describe, rebuild
from .straight_through import read_as, sign_through, signs

__all__ = [
    'BinaryInput',
    'Codebook',
    'ElementMask',
    'InputTransform',
    'LowBit',
    'LowBitWeight',
    'SignWeight',
    'Transform',
    'XNORWeight',
    'attach',
    'attach_input',
    'describe',
    'filter_scales',
    'fold',
    'input_scales',
    'input_transforms',
    'kmeans',
    'mask_by_quality',
    'mask_by_sparsity',
    'quantize',
    'read_as',
    'rebuild',
    'rebuild_inputs',
    'sign_through',
    'signs',
    'transforms_of',
]
