"""Weight compression: transforms on a detector's weights, stage by stage, and a packed file."""

from .binary_networks import BinaryNet, XNORNet
from .connection_pruning import ConnectionPruning
from .low_bit_weights import LowBitWeights
from .stage import TransformMethod, TransformStage
from .weight_compression_runner import WeightCompressionRunner
from .weight_sharing import WeightSharing

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
