"""Weight compression: transforms on a detector's weights, stage by stage, and a packed file."""

from mmdet_lcp.weight_compression.binary_networks import BinaryNet, XNORNet
from mmdet_lcp.weight_compression.connection_pruning import ConnectionPruning
from mmdet_lcp.weight_compression.low_bit_weights import LowBitWeights
from mmdet_lcp.weight_compression.runner import WeightCompressionRunner
from mmdet_lcp.weight_compression.stage import TransformMethod, TransformStage
from mmdet_lcp.weight_compression.weight_sharing import WeightSharing

__all__ = [
    'BinaryNet',
    'ConnectionPruning',
    'LowBitWeights',
    'TransformMethod',
    'TransformStage',
    'WeightCompressionRunner',
    'WeightSharing',
    'XNORNet',
]
