"""LowBitWeights: BDNN, detectors with binary and M-bit weights, block by block.

Pattern Recognition Letters, 2019.
"""

from dataclasses import dataclass

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import METHODS
from mmdet_lcp.transforms import LowBitWeight, attach
from mmdet_lcp.weight_compression.blockwise import BlockwiseMethod


@METHODS.register_module()
@dataclass(kw_only=True)
class LowBitWeights(BlockwiseMethod):
    """W is read as alpha * Q, Q on 2^bits levels, trained block by block; see `BlockwiseMethod`.

    Args:
        bits: M, in [1, 8].
        scale: ``'layer'``: one alpha for a layer, as in the paper; ``'channel'``: one for each
            output channel.
    """

    bits: int = 1
    scale: str = 'layer'

    def change(self, layer: nn.Module) -> None:
        """See `BlockwiseMethod.change`."""
        attach(layer, LowBitWeight(self.bits, self.scale))

    def check(self, where: str) -> None:
        """See `TransformMethod.check`."""
        super().check(where)
        try:
            LowBitWeight(self.bits, self.scale)
        except CompressionError as error:
            raise CompressionError(f'{where}.{error}') from error

    @property
    def scheme(self) -> str:
        """See `TransformMethod.scheme`."""
        bits = f'{self.bits} bit{"s" if self.bits > 1 else ""}'
        return f'{bits}, a scale a {self.scale}'
