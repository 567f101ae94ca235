"""Low-bit weights: W is read as alpha * Q, with Q on 2^M evenly spaced levels.

BDNN: detectors with binary and M-bit weights, trained layer by layer (Pattern Recognition
Letters, 2019). The paper clips the weights of a layer to [-b, b], b = max|W| but at most 1, rounds
down onto M bits, takes alpha by least squares, and passes the gradient straight through. Its grid
is not published; ours has an equal number of levels on both sides of zero, so that M = 1 gives
the sign, and its step, 2b / 2^M, shrinks exponentially with M as the paper says.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import TRANSFORMS
from mmdet_lcp.transforms.base import Transform
from mmdet_lcp.transforms.straight_through import read_as

BITS = range(1, 9)


@dataclass
class LowBit:
    """Weights on a grid.

    Attributes:
        levels: Q, odd integers in [-(2^M - 1), 2^M - 1], int16, of the weights' shape.
        scale: alpha, a scalar tensor; or one a first-axis entry, broadcastable to the weights.
    """

    levels: Tensor
    scale: Tensor

    def weight(self) -> Tensor:
        """Return alpha * Q."""
        return self.scale * self.levels.to(self.scale.dtype)


def clip_bound(weight: Tensor, per_channel: bool) -> Tensor:
    """Bound b = min(max|W|, 1): a scalar, or one a first-axis entry, broadcastable.

    Args:
        weight: W, of any shape.
        per_channel: whether each entry of the first axis has a bound of its own.
    """
    return _over(weight.abs(), per_channel, torch.amax).clamp(max=1.0)


def quantize(weight: Tensor, bits: int, per_channel: bool = False) -> LowBit:
    """Round weights down onto 2^bits levels and scale these by least squares.

    Q = 2 floor(W / s) + 1 with the step s = 2b / 2^bits, kept within +-(2^bits - 1);
    alpha = <W, Q> / <Q, Q> on the clipped weights, the minimum of ||W - alpha Q||^2 for this Q.
    With one bit, Q = sign(W), with sign(0) = 1, and alpha = mean|W|.

    Args:
        weight: any shape, at least one element; not differentiated.
        bits: M, in [1, 8].
        per_channel: a bound and a scale for each first-axis entry (output channel) instead of one
            for the layer.
    """
    weight = weight.detach()
    bound = clip_bound(weight, per_channel)
    clipped = weight.clamp(-bound, bound)
    top = 2**bits - 1
    step = (bound * 2.0 ** (1 - bits)).clamp(min=torch.finfo(weight.dtype).tiny)
    levels = (2 * torch.floor(clipped / step) + 1).clamp(-top, top)
    scale = _over(clipped * levels, per_channel, torch.sum) / _over(
        levels.square(), per_channel, torch.sum
    )
    return LowBit(levels.to(torch.int16), scale)


def _over(values: Tensor, per_channel: bool, reduce) -> Tensor:
    """Reduce all axes, or all but the first, which is kept broadcastable."""
    if not per_channel or values.dim() < 2:
        return reduce(values, dim=tuple(range(values.dim())))
    return reduce(values, dim=tuple(range(1, values.dim())), keepdim=True)


@TRANSFORMS.register_module()
class LowBitWeight(Transform):
    """The parametrization: the forward pass reads alpha * Q, training updates W behind it.

    The gradient of alpha * Q is taken for that of W where W is not clipped, and zero where it is
    (straight-through estimator).

    Args:
        bits: M, in [1, 8].
        scale: ``'channel'``: a bound and an alpha for each output channel; ``'layer'``: one for
            the layer, as in the paper.

    Raises:
        CompressionError: a value is out of range.
    """

    def __init__(self, bits: int = 1, scale: Literal['layer', 'channel'] = 'layer') -> None:
        super().__init__()
        if not isinstance(bits, int) or isinstance(bits, bool) or bits not in BITS:
            raise CompressionError(
                f'bits={bits!r} of LowBitWeight must be a whole number in [1, 8]'
            )
        if scale not in ('layer', 'channel'):
            raise CompressionError(f"scale={scale!r} of LowBitWeight: use 'layer' or 'channel'")
        self.bits = bits
        self.scale = scale
        self.per_channel = scale == 'channel'

    def forward(self, weight: Tensor) -> Tensor:
        """Read W as alpha * Q, of the same shape and type."""
        bound = clip_bound(weight.detach(), self.per_channel)
        read = quantize(weight, self.bits, self.per_channel).weight()
        return read_as(weight, read, weight.detach().abs() <= bound)

    def extra_repr(self) -> str:
        """Bits and scale."""
        return f'bits={self.bits}, scale={self.scale!r}'

    def settings(self) -> dict[str, Any]:
        """See `Transform.settings`."""
        return {'bits': self.bits, 'scale': self.scale}
