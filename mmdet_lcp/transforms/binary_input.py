"""Binary inputs of convolutions and linear layers: batch norm, sign, layer.

BinaryNet: Courbariaux et al., "Binarized Neural Networks" (NeurIPS 2016), section 1.3.
XNOR-Net: Rastegari et al. (ECCV 2016), section 3.2, equation 11, and figure 4 (order of a block).
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import TRANSFORMS
from mmdet_lcp.transforms.input_transform import InputTransform
from mmdet_lcp.transforms.straight_through import sign_through

LAYERS = (nn.Conv2d, nn.Linear)


def input_scales(x: Tensor, layer: nn.Module) -> Tensor:
    """XNOR-Net's K: the mean of |I| over the channels, and over the places a filter covers.

    Args:
        x: input of the layer, (N, C, H, W) or (..., C).
        layer: a convolution or a linear layer. Groups of channels have a K of their own.

    Returns:
        Broadcastable to the layer's output: (N, 1 or out channels, H', W') or (..., 1). Places
        outside of the image count as zero, as the convolution pads them.
    """
    if isinstance(layer, nn.Linear):
        return x.abs().mean(-1, keepdim=True)
    groups = layer.groups
    magnitudes = x.abs().unflatten(1, (groups, -1)).mean(2)
    height, width = layer.kernel_size
    box = x.new_full((groups, 1, height, width), 1 / (height * width))
    padding: Any = layer.padding
    if layer.padding_mode != 'zeros':
        pads = layer._reversed_padding_repeated_twice
        magnitudes = functional.pad(magnitudes, pads, mode=layer.padding_mode)
        padding = 0
    scales = functional.conv2d(
        magnitudes, box, None, layer.stride, padding, layer.dilation, groups
    )
    if groups == 1:
        return scales
    return scales.repeat_interleave(layer.out_channels // groups, 1)


@TRANSFORMS.register_module()
class BinaryInput(InputTransform):
    """The layer reads sign(BN(x)); with scaling, its output is multiplied with K of BN(x).

    The gradient of the sign is that of the hard tanh. The bias of the layer is not scaled.

    Args:
        channels: of the input.
        dims: 2 for maps (N, C, H, W), 1 for vectors (N, C).
        scaling: XNOR-Net's K; BinaryNet has none.
    """

    def __init__(self, channels: int, dims: int, scaling: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels) if dims == 2 else nn.BatchNorm1d(channels)
        self.scaling = scaling

    @classmethod
    def for_layer(cls, layer: nn.Module, **settings: Any) -> 'BinaryInput':
        """See `InputTransform.for_layer`; the setting is ``scaling``."""
        if not isinstance(layer, LAYERS):
            raise CompressionError(
                f'the input of {type(layer).__name__} cannot be binary: only that of Conv2d and '
                'Linear'
            )
        if set(settings) != {'scaling'} or not isinstance(settings['scaling'], bool):
            raise CompressionError(f'BinaryInput needs scaling=True or False, not {settings}')
        if isinstance(layer, nn.Linear):
            return cls(layer.in_features, 1, **settings)
        return cls(layer.in_channels, 2, **settings)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The sign of the normed input, and the normed input where K is wanted."""
        normed = self._normed(x)
        return sign_through(normed), normed if self.scaling else None

    def after(self, layer: nn.Module, output: Tensor, kept: Tensor | None) -> Tensor:
        """Multiply the output with K."""
        if kept is None:
            return output
        scales = input_scales(kept, layer)
        if layer.bias is None:
            return output * scales
        bias = layer.bias if isinstance(layer, nn.Linear) else layer.bias[:, None, None]
        return (output - bias) * scales + bias

    def settings(self) -> dict[str, Any]:
        """See `InputTransform.settings`."""
        return {'scaling': self.scaling}

    def _normed(self, x: Tensor) -> Tensor:
        """Batch norm; of a single value a channel there is no variance, so its history counts."""
        single = x.numel() <= x.size(1)
        if self.norm.training and single:
            norm = self.norm
            return functional.batch_norm(
                x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0, norm.eps
            )
        return self.norm(x)
