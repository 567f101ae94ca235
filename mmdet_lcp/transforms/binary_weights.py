"""Binary weights of two papers: a bare sign, or a sign with one scale a filter.

BinaryNet: Courbariaux et al., "Binarized Neural Networks" (NeurIPS 2016), sections 1.1 to 1.4.
XNOR-Net: Rastegari et al. (ECCV 2016), section 3.1: the best sign and scale, and how they train.
"""

from typing import Any

import torch
from torch import Tensor

from mmdet_lcp.registry import TRANSFORMS
from mmdet_lcp.transforms.base import Transform
from mmdet_lcp.transforms.straight_through import read_as, signs


def filter_scales(weight: Tensor) -> Tensor:
    """Scale alpha = mean|W| of each filter: by least squares, sign(W) being the best sign.

    Args:
        weight: (out channels, ...), at least one element a filter.

    Returns:
        One a first-axis entry, broadcastable to the weights; not differentiated.
    """
    if weight.dim() < 2:
        return weight.detach().abs()
    return weight.detach().abs().mean(tuple(range(1, weight.dim())), keepdim=True)


@TRANSFORMS.register_module()
class SignWeight(Transform):
    """BinaryNet's parametrization: reads sign(W), with sign(0) = 1.

    The gradient of sign(W) is taken for that of W where |W| <= 1. The weights behind it are kept
    within [-1, 1] while training (the paper's Clip): outside, they would get no gradient and could
    never come back.
    """

    def forward(self, weight: Tensor) -> Tensor:
        """sign(W), of the same shape and type."""
        if self.training:
            with torch.no_grad():
                weight.clamp_(-1, 1)
        return read_as(weight, signs(weight), weight.detach().abs() <= 1)

    def settings(self) -> dict[str, Any]:
        """See `Transform.settings`."""
        return {}


@TRANSFORMS.register_module()
class XNORWeight(Transform):
    """XNOR-Net's parametrization: reads alpha * sign(W), alpha = mean|W| of each filter.

    The gradient that comes back is multiplied with 1 / n + alpha where |W| <= 1, and with 1 / n
    elsewhere, n being the number of weights of a filter, as the paper has it.
    """

    def forward(self, weight: Tensor) -> Tensor:
        """Alpha * sign(W), of the same shape and type."""
        scales = filter_scales(weight)
        count = max(weight[0].numel(), 1)
        factor = 1 / count + scales * (weight.detach().abs() <= 1)
        return read_as(weight, scales * signs(weight), factor)

    def settings(self) -> dict[str, Any]:
        """See `Transform.settings`."""
        return {}
