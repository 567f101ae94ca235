"""Transforms: how a layer's weight is read, and what can be folded away."""

from mmdet_lcp.transforms.attach import attach, fold, transforms_of
from mmdet_lcp.transforms.base import Transform
from mmdet_lcp.transforms.binary_input import BinaryInput, input_scales
from mmdet_lcp.transforms.binary_weights import SignWeight, XNORWeight, filter_scales
from mmdet_lcp.transforms.codebook import Codebook
from mmdet_lcp.transforms.element_mask import ElementMask, mask_by_quality, mask_by_sparsity
from mmdet_lcp.transforms.input_transform import (
    InputTransform,
    attach_input,
    input_transforms,
    rebuild_inputs,
)
from mmdet_lcp.transforms.kmeans import kmeans
from mmdet_lcp.transforms.low_bit import LowBit, LowBitWeight, quantize
from mmdet_lcp.transforms.rebuilding import describe, rebuild
from mmdet_lcp.transforms.straight_through import read_as, sign_through, signs

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
