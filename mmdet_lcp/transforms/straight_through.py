"""The straight-through estimator: one value is read forward, another one's gradient goes back.

Bengio, Léonard, Courville (2013); Courbariaux et al., "Binarized Neural Networks" (NeurIPS 2016),
section 1.3 and equation 4.
"""

from typing import Any

import torch
from torch import Tensor


class _Through(torch.autograd.Function):
    """Not ``x + (read - x).detach()``, which rounds: two levels would become half a dozen."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, read: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return read.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (factor,) = ctx.saved_tensors
        return gradient * factor, None, None


def read_as(values: Tensor, read: Tensor, factor: Tensor) -> Tensor:
    """Read values as others, exactly, and pass the gradient back.

    Args:
        values: any shape; they get the gradient.
        read: what comes out, of the same shape.
        factor: that the gradient is multiplied with on its way back, such as 0 where it is
            stopped; of the same shape, or broadcastable to it. A boolean counts as 0 or 1.
    """
    if not torch.is_grad_enabled():
        return read.detach()  # an exporter finds plain operators only
    return _Through.apply(values, read.detach(), factor.detach())


def signs(values: Tensor) -> Tensor:
    """-1 for what is below zero, else 1; not differentiated."""
    return torch.where(values.detach() < 0, -1.0, 1.0).to(values.dtype)


def sign_through(values: Tensor) -> Tensor:
    """The sign, with the gradient of the hard tanh: 1 where |x| <= 1, else 0."""
    return read_as(values, signs(values), values.detach().abs() <= 1)
