"""Contextual RoIAlign: pool a default box together with the box that also covers its object.

A default box seldom covers the object it is matched to, and in a shallow layer the receptive
field is too small to make up for it. LCP (Xie et al., arXiv 1911.02237, "Contextual RoIAlign")
therefore adds to the features of the default box those of the smallest box that encloses both
the default box and its ground truth.
"""

from collections.abc import Sequence

import torch
from mmdet.structures.bbox import bbox2roi
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.ops import roi_align
from mmdet_lcp.registry import MODELS

POOL_MODES = ('avg', 'max')


def enclosing_boxes(a: Tensor, b: Tensor) -> Tensor:
    """The smallest box that covers both boxes of each pair.

    Source: LCP (arXiv 1911.02237), the box C of "Contextual RoIAlign".

    Args:
        a: Boxes (R, 4) as (x1, y1, x2, y2).
        b: Boxes (R, 4) in the same unit.

    Returns:
        Boxes (R, 4), in that unit.
    """
    return torch.cat(
        [torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], dim=-1
    )


@MODELS.register_module()
class ContextualRoIAlign(nn.Module):
    """RoIAlign on a default box B, plus RoIAlign on enclosing(B, ground truth) if B is positive.

    Source: LCP (arXiv 1911.02237), "Contextual RoIAlign": bilinear, 4 sample points a bin,
    average or max. Negatives have no ground truth; that they are pooled from B alone is our
    reading, the paper does not say.

    Args:
        output_size: Bins along each side, at least 1.
        sampling_ratio: Sample points along each side of a bin; 2 gives the paper's 4 points.
        pool_mode: 'avg' or 'max' over the sample points of a bin.
        aligned: Shift by half a pixel so that pixel centres lie at half-integers (mmcv's
            meaning of `aligned`).
        contextual: False leaves the enclosing box out: plain RoIAlign, the paper's ablation.

    Raises:
        CompressionError: `output_size` or `sampling_ratio` below 1, or an unknown `pool_mode`.
    """

    def __init__(
        self,
        output_size: int = 3,
        sampling_ratio: int = 2,
        pool_mode: str = 'avg',
        aligned: bool = True,
        contextual: bool = True,
    ) -> None:
        super().__init__()
        for key, value in dict(output_size=output_size, sampling_ratio=sampling_ratio).items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise CompressionError(
                    f'{key}={value!r} of the contextual RoIAlign must be an integer of at least 1.'
                )
        if pool_mode not in POOL_MODES:
            raise CompressionError(f'pool_mode={pool_mode!r} is unknown: use one of {POOL_MODES}.')
        self.output_size = output_size
        self.sampling_ratio = sampling_ratio
        self.pool_mode = pool_mode
        self.aligned = aligned
        self.contextual = contextual

    def forward(
        self,
        features: Tensor,
        boxes: Tensor | Sequence[Tensor],
        gt_boxes: Tensor,
        positive: Tensor,
        spatial_scale: float,
    ) -> Tensor:
        """Pool every box to a fixed size.

        Args:
            features: Feature map (N, C, H, W). Half precision is pooled in float32, as mmcv's
                CPU operator has no half.
            boxes: Default boxes in image pixels: (R, 5) with the image index first, or one
                (R_i, 4) tensor an image.
            gt_boxes: Matched ground truth (R, 4) in image pixels; rows of negatives are not read.
            positive: Boolean (R,).
            spatial_scale: Feature pixels per image pixel.

        Returns:
            (R, C, output_size, output_size), float32 (float64 if `features` is).
        """
        rois = boxes if isinstance(boxes, Tensor) else bbox2roi(list(boxes))
        if features.dtype in (torch.float16, torch.bfloat16):
            features = features.float()
        rois = rois.to(features.dtype)
        size = self.output_size
        if len(rois) == 0:
            # An empty slice keeps the result attached to the graph of the features.
            return features[:0, :, :1, :1].expand(0, features.size(1), size, size)

        where = positive.nonzero().flatten()
        regions = rois
        if self.contextual:
            context = enclosing_boxes(rois[where, 1:], gt_boxes[where].to(rois.dtype))
            # Both kinds in one launch: the enclosing boxes follow the default boxes.
            regions = torch.cat([rois, torch.cat([rois[where, :1], context], dim=1)])
        pooled = roi_align(
            features,
            regions,
            size,
            spatial_scale,
            self.sampling_ratio,
            self.pool_mode,
            self.aligned,
        )
        if not self.contextual:
            return pooled
        return pooled[: len(rois)].index_add(0, where, pooled[len(rois) :])

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return (
            f'output_size={self.output_size}, sampling_ratio={self.sampling_ratio}, '
            f'pool_mode={self.pool_mode!r}, aligned={self.aligned}, contextual={self.contextual}'
        )
