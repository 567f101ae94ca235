"""An image to run through a detector where only its shape matters."""

import torch
from torch import Tensor, nn

from mmdet_lcp.graph.layer_kinds import kind_of

# Modules that put every second row and column behind one another before their convolution.
_FOLDING = {'Focus': 4}
USUAL = 3


def input_channels(detector: nn.Module) -> int:
    """How many channels the images of a detector have: what its first convolution reads.

    Args:
        detector: an mmdet detector, whose backbone is looked at, or any module.

    Returns:
        1 for grey images, 3 for colour, as many as there are for others; 3 where the first layer
        is no convolution.
    """
    backbone = getattr(detector, 'backbone', None)
    root = backbone if isinstance(backbone, nn.Module) else detector
    for path, module in root.named_modules():
        kind = kind_of(module)
        if kind is None or not kind.has_kernels:
            continue
        if kind.channel_dim(module, 4) == 1:  # it reads images
            parents = (path.rsplit('.', above)[0] for above in range(1, path.count('.') + 1))
            around = {type(root.get_submodule(parent)).__name__ for parent in parents}
            folded = next((n for name, n in _FOLDING.items() if name in around), 1)
            return kind.size(module, 'in_channels') // folded
        break
    return USUAL


def example_image(
    detector: nn.Module, image_size: tuple[int, int], noise: torch.Generator | None = None
) -> Tensor:
    """One preprocessed image, on the detector's device and of its type.

    Args:
        detector: an mmdet detector, or any module that takes images.
        image_size: (height, width) in pixels.
        noise: draws normal noise; by default the image is all zeros.

    Returns:
        (1, C, height, width).
    """
    shape = (1, input_channels(detector), *image_size)
    like = next(detector.parameters())
    if noise is None:
        return like.new_zeros(shape)
    return torch.randn(shape, generator=noise).to(like)
