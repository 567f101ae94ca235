"""BinaryNet and XNOR-Net: binary weights that read binary inputs.

Courbariaux et al., "Binarized Neural Networks" (NeurIPS 2016); Rastegari et al., "XNOR-Net" (ECCV
2016). Both change a layer's input as well: batch norm, sign, layer. What the convolutions count
with are then -1 and 1 alone, but for a factor.
"""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from mmdet_lcp.registry import METHODS
from mmdet_lcp.transforms import (
    BinaryInput,
    SignWeight,
    Transform,
    XNORWeight,
    attach,
    attach_input,
)
from mmdet_lcp.transforms.binary_input import LAYERS
from mmdet_lcp.weight_compression.blockwise import BlockwiseMethod


@dataclass(kw_only=True)
class BinaryNetwork(BlockwiseMethod):
    """Binary weights and inputs; see `BlockwiseMethod` for the keys."""

    @abstractmethod
    def parts(self, layer: nn.Module) -> tuple[Transform, BinaryInput]:
        """What a layer's weight, and its input, are read through."""

    def change(self, layer: nn.Module) -> None:
        """See `BlockwiseMethod.change`."""
        weight, binary = self.parts(layer)
        attach(layer, weight)
        attach_input(layer, binary.to(layer.weight.device))

    def unfit(self, layer: nn.Module) -> str | None:
        """See `BlockwiseMethod.unfit`."""
        if isinstance(layer, LAYERS):
            return None
        return f'{type(layer).__name__} cannot read a binary input'


@METHODS.register_module()
@dataclass(kw_only=True)
class BinaryNet(BinaryNetwork):
    """BinaryNet: sign weights, sign inputs, no scales: what follows has to bring a norm."""

    scheme = '1 bit, no scale, binary input'

    def parts(self, layer: nn.Module) -> tuple[Transform, BinaryInput]:
        """See `BinaryNetwork.parts`."""
        return SignWeight(), BinaryInput.for_layer(layer, scaling=False)

    def error(self, weight: Tensor, read: Tensor) -> tuple[float, float]:
        """As `BlockwiseMethod.error`, with the best scale, since signs have none."""
        whole = float(weight.square().sum())
        return whole - float((weight * read).sum()) ** 2 / max(read.numel(), 1), whole


@METHODS.register_module()
@dataclass(kw_only=True)
class XNORNet(BinaryNetwork):
    """XNOR-Net: binary weights with a scale a filter, binary inputs with a scale a place."""

    scheme = '1 bit, a scale a channel, binary input'

    def parts(self, layer: nn.Module) -> tuple[Transform, BinaryInput]:
        """See `BinaryNetwork.parts`."""
        return XNORWeight(), BinaryInput.for_layer(layer, scaling=True)
