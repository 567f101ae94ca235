"""Transforms: how a layer's weight is read, and what can be folded away."""

from .attach import attach, fold, transforms_of
from .codebook import Codebook
from .element_mask import ElementMask, mask_by_quality, mask_by_sparsity
from .kmeans import kmeans
from .low_bit import LowBit, LowBitWeight, quantize

__all__ = [
    'Codebook',
    'ElementMask',
    'LowBit',
    'LowBitWeight',
    'attach',
    'fold',
    'kmeans',
    'mask_by_quality',
    'mask_by_sparsity',
    'quantize',
    'transforms_of',
]
