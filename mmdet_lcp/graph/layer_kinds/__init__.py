"""Kinds of layers, one class each: how they are traced, narrowed, zeroed and counted.

`base.LayerKind` is what a kind answers, `mmdet_lcp.registry.LAYER_KINDS` the table of all of them.
NNCF's pruning operations are a like table, with the cut and the zeroed weights from one class.
"""

from mmdet_lcp.graph.layer_kinds.base import (
    Axis,
    LayerKind,
    Positions,
    is_layer,
    kind_of,
    known_modules,
    layers_of,
    slice_tensor,
)
from mmdet_lcp.graph.layer_kinds.blocks import Res2NetBlock
from mmdet_lcp.graph.layer_kinds.convolutions import (
    Convolution,
    DepthwiseConvolution,
    GroupedConvolution,
    TransposedConvolution,
)
from mmdet_lcp.graph.layer_kinds.linear import LinearLayer
from mmdet_lcp.graph.layer_kinds.norms import BatchNorm, GroupNorm, LayerNorm
from mmdet_lcp.graph.layer_kinds.regions import RoIExtractor, RoIPooling

__all__ = [
    'Axis',
    'BatchNorm',
    'Convolution',
    'DepthwiseConvolution',
    'GroupNorm',
    'GroupedConvolution',
    'LayerKind',
    'LayerNorm',
    'LinearLayer',
    'Positions',
    'Res2NetBlock',
    'RoIExtractor',
    'RoIPooling',
    'TransposedConvolution',
    'is_layer',
    'kind_of',
    'known_modules',
    'layers_of',
    'slice_tensor',
]
