"""Pruned connections: single weights are read as zero.

Deep Compression (Han et al., ICLR 2016), section 2; thresholds by layer as in Learning both
Weights and Connections (Han et al., NeurIPS 2015): a sparsity, or a quality times the standard
deviation of the layer's weights.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmdet_lcp.registry import TRANSFORMS
from mmdet_lcp.transforms.base import Transform


def mask_by_sparsity(weight: Tensor, sparsity: float) -> Tensor:
    """Which weights stay when the smallest ones go.

    Args:
        weight: any shape.
        sparsity: fraction that goes, in [0, 1]; of n weights, floor(sparsity * n + 1/2) go.

    Returns:
        Boolean, of the weights' shape, true for what stays. Among equal magnitudes the lower
        index goes first, so that the number is met exactly.
    """
    gone = min(int(sparsity * weight.numel() + 0.5), weight.numel())
    order = torch.sort(weight.detach().abs().flatten(), stable=True).indices
    mask = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
    mask[order[:gone]] = False
    return mask.view_as(weight)


def mask_by_quality(weight: Tensor, quality: float) -> Tensor:
    """Which weights stay above quality * sigma, sigma being the layer's standard deviation.

    Args:
        weight: any shape, at least one element.
        quality: >= 0.
    """
    magnitudes = weight.detach().abs()
    return magnitudes >= quality * weight.detach().std(correction=0)


@TRANSFORMS.register_module()
class ElementMask(Transform):
    """The parametrization: W * mask. What is masked gets no gradient.

    Args:
        mask: boolean, of the weights' shape, true for what stays.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer('mask', mask.bool())

    def forward(self, weight: Tensor) -> Tensor:
        """The weights with exact zeros where the mask is false."""
        return torch.where(self.mask, weight, 0.0)

    @property
    def sparsity(self) -> float:
        """Fraction of weights that are gone."""
        return 1 - float(self.mask.float().mean()) if self.mask.numel() else 0.0

    def settings(self) -> dict[str, Any]:
        """See `Transform.settings`."""
        return {}

    @classmethod
    def from_spec(cls, spec: dict[str, Any], shape: Sequence[int]) -> 'ElementMask':
        """See `Transform.from_spec`."""
        return cls(torch.ones(tuple(shape), dtype=torch.bool))
