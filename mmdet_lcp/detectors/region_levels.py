"""Which of a pyramid's maps a region belongs to, as the detector itself sees it.

Two-stage detectors say so in their RoI extractor (FPN, Lin et al., CVPR 2017, equation 1). In a
one-stage detector it is the level whose default boxes are nearest in size, on a logarithmic
scale; an anchor-free head's boxes are 8 strides wide there (see `point_boxes`).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmdet_lcp.detectors.prior_boxes import STRIDES_A_SIDE

LevelRule = Callable[[Tensor], Tensor]


def level_rule(detector: nn.Module) -> tuple[int, LevelRule] | None:
    """How a detector tells the level of a region.

    Args:
        detector: an mmdet detector.

    Returns:
        Number of levels, and a function from regions (R, 5), index of the image and box in
        pixels, to levels (R,); ``None`` where the detector has one map or does not say.
    """
    extractor = getattr(getattr(detector, 'roi_head', None), 'bbox_roi_extractor', None)
    if isinstance(extractor, nn.ModuleList):  # a cascade: all stages have the same maps
        extractor = extractor[0]
    if hasattr(extractor, 'map_roi_levels'):
        count = len(extractor.featmap_strides)
        return (count, lambda rois: extractor.map_roi_levels(rois, count)) if count > 1 else None
    sizes = _sizes(getattr(getattr(detector, 'bbox_head', None), 'prior_generator', None))
    if sizes is None or len(sizes) < 2:
        return None
    return len(sizes), lambda rois: nearest_size(rois, sizes)


def nearest_size(rois: Tensor, sizes: Tensor) -> Tensor:
    """Index of the size that is nearest to the root of each region's area, logarithmically.

    Args:
        rois: (R, 5), boxes in pixels.
        sizes: (L,) in pixels.

    Returns:
        (R,) integers.
    """
    sides = (rois[:, 3:] - rois[:, 1:3]).clamp(min=1e-3)
    area = sides.log().mean(1)
    return (area[:, None] - sizes.to(area).log()[None]).abs().argmin(1)


def _sizes(generator: object) -> Tensor | None:
    """Mean width, geometrically, of each level's default boxes."""
    anchors = getattr(generator, 'base_anchors', None)
    if anchors is not None and all(isinstance(level, Tensor) for level in anchors):
        return torch.stack([(level[:, 2:] - level[:, :2]).log().mean().exp() for level in anchors])
    strides = getattr(generator, 'strides', None)
    if strides is None:
        return None
    return torch.tensor([STRIDES_A_SIDE * (s[0] * s[1]) ** 0.5 for s in strides])
