"""The reconstruction loss: how far a pruned layer's output is from the original one."""

import torch.nn.functional as F
from torch import Tensor


def reconstruction_loss(target: Tensor, output: Tensor) -> Tensor:
    """L_re = 1 / (2 Q) ||F - X * W_C||^2, with Q = C * H * W of ONE image's output.

    Source: LCP (arXiv 1911.02237), reconstruction error; DCP (Zhuang et al., NeurIPS 2018),
    L_M. Both state it for one image or leave the batch to Q; we average over the images of the
    batch, so that the batch size does not change its weight against the other losses.

    Args:
        target: F, the layer's output in the original network, (N, C, H, W) or any (N, ...);
            no gradient flows into it.
        output: X * W_C, the same layer's output with the kept channels, same shape.

    Returns:
        A scalar >= 0, in float32 (float64 if `output` is): squares overflow in half precision.

    Raises:
        ValueError: The shapes differ.
    """
    if target.shape != output.shape:
        raise ValueError(
            f'reconstruction_loss compares outputs of one layer, but the target is '
            f'{tuple(target.shape)} and the output {tuple(output.shape)}.'
        )
    if output.dtype.itemsize < 4:
        output = output.float()
    # The mean over all elements is the mean over images of 1 / Q ||.||^2.
    return 0.5 * F.mse_loss(output, target.detach().to(output.dtype))
