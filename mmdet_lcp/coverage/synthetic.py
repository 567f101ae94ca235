"""Images of noise with objects, for one step of anything a detector does."""

import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from mmdet_lcp.graph.made_samples import made_samples


def synthetic_batch(
    count: int, size: int, detector: nn.Module, seed: int = 0
) -> tuple[Tensor, list[DetDataSample]]:
    """Images as a detector's preprocessor gives them, and their ground truth.

    Args:
        count: images, >= 1.
        size: their side in pixels.
        detector: says how many classes there are, and what it learns beside boxes.
        seed: of the noise.

    Returns:
        (count, 3, size, size), and `made_samples` of these.
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, size, size, generator=generator)
    return images, made_samples(detector, images, seed)
