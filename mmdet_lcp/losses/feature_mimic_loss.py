"""The mimic loss: L2 between two detectors' features, inside the regions that matter.

Li et al., "Mimicking Very Efficient Network for Object Detection" (CVPR 2017), section 3.1:
L_m = 1/(2N) sum_i 1/m_i ||u_i - r(v_i)||^2 over N regions. u_i are the large network's features
in region i, r(v_i) the small one's after a transform, m_i the number of feature elements there.
Without 1/m_i it is the paper's plain form, in which large regions count more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.utils import reduce_mean
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.ops import roi_align
from mmdet_lcp.registry import MODELS

POOLINGS = ('pixels', 'roi_align')
SAMPLING_RATIO = 2  # points along each side of a bin
_LEAST_VARIANCE = 1e-12  # a map without any features has nothing to be compared with


@dataclass
class MapPair:
    """One feature map of both detectors, and regions on it.

    Attributes:
        teacher: u, (B, C, H, W); no gradient flows into it.
        student: r(v), the same shape.
        regions: (R, 5): index of the image in the batch, then the box (x1, y1, x2, y2) in
            cells of this map; cell j covers [j, j + 1).
    """

    teacher: Tensor
    student: Tensor
    regions: Tensor


def cells_inside(regions: Tensor, height: int, width: int) -> Tensor:
    """The cells of each region, as half-open ranges.

    A cell belongs to a region if its centre lies in it; a region without any takes the cell that
    its own centre lies in. What is outside the map is cut off.

    Args:
        regions: (R, 5) as in `MapPair`.
        height: of the map, in cells.
        width: likewise.

    Returns:
        (R, 4) integers x1, y1, x2, y2 with 0 <= x1 < x2 <= width, likewise for y.
    """
    ranges = []
    for low, high, size in (
        (regions[:, 1], regions[:, 3], width),
        (regions[:, 2], regions[:, 4], height),
    ):
        first = torch.ceil(low - 0.5).clamp(0, size)
        end = torch.ceil(high - 0.5).clamp(0, size)
        middle = torch.floor((low + high) / 2).clamp(0, size - 1)
        empty = end <= first
        ranges.append((torch.where(empty, middle, first), torch.where(empty, middle + 1, end)))
    (x1, x2), (y1, y2) = ranges
    return torch.stack([x1, y1, x2, y2], dim=1).long()


def region_weights(
    images: Tensor, cells: Tensor, weights: Tensor, shape: tuple[int, int, int]
) -> Tensor:
    """Sum of the weights of all regions that cover a cell, for every cell of a batch of maps.

    Args:
        images: (R,) index of the image.
        cells: (R, 4) half-open ranges as `cells_inside` gives them.
        weights: (R,) one for each region.
        shape: (B, H, W).

    Returns:
        (B, H, W), float64 inside and in the weights' type outside: what is added at one corner
        and taken away at another must cancel.
    """
    batch, height, width = shape
    # Each region is four corners of a table of differences; two running sums fill it.
    table = weights.new_zeros(batch, height + 1, width + 1, dtype=torch.float64)
    x1, y1, x2, y2 = cells.unbind(1)
    signed = weights.double()
    for rows, columns, sign in ((y1, x1, 1), (y1, x2, -1), (y2, x1, -1), (y2, x2, 1)):
        table.index_put_((images, rows, columns), sign * signed, accumulate=True)
    filled = table.cumsum(1).cumsum(2)[:, :height, :width]
    return filled.clamp(min=0).to(weights.dtype)


@MODELS.register_module()
class FeatureMimicLoss(nn.Module):
    """L_m = 1/(2N) sum_i 1/m_i ||u_i - r(v_i)||^2.

    Source: Li et al., CVPR 2017, equation 2 (with ``normalized=False``, equation 1's form). The
    paper compares features after spatial pyramid pooling; its author later advised plain regions
    and the difference pixel by pixel, which is the default here. Over several maps N counts pairs
    of region and map, so that the loss is their mean [our reading]; on several ranks N is the
    ranks' mean, so that gradients averaged over the ranks are those of all regions together.

    Args:
        normalized: divide by m_i.
        pooling: ``'pixels'``: the cells of the map whose centres lie in the region; or
            ``'roi_align'``: both maps' regions are pooled to a fixed size.
        output_size: bins along each side of a region for ``'roi_align'``, >= 1.
        standardized: divide the features of each map by the standard deviation of the teacher's,
            one number a map and batch, so that the loss is a relative error and its factor means
            the same for every pair of detectors [ours; the paper does not].

    Raises:
        CompressionError: an unknown `pooling`, or an `output_size` out of range.
    """

    def __init__(
        self,
        normalized: bool = True,
        pooling: str = 'pixels',
        output_size: int = 7,
        standardized: bool = False,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise CompressionError(f'pooling={pooling!r} is unknown: use one of {POOLINGS}.')
        if not isinstance(output_size, int) or isinstance(output_size, bool) or output_size < 1:
            raise CompressionError(f'output_size={output_size!r} must be an integer of at least 1')
        for key, value in dict(normalized=normalized, standardized=standardized).items():
            if not isinstance(value, bool):
                raise CompressionError(f'{key}={value!r} must be True or False')
        self.normalized = normalized
        self.standardized = standardized
        self.pooling = pooling
        self.output_size = output_size

    def forward(self, pairs: Sequence[MapPair]) -> Tensor:
        """L_m of a batch.

        Args:
            pairs: maps and the regions on them.

        Returns:
            A scalar >= 0 in float32 (float64 if the maps are) that is part of the graph of every
            student map, so that all ranks have the same gradients even without a region.

        Raises:
            ValueError: two maps of a pair differ in shape.
        """
        total = sum(self._sum(pair) for pair in pairs)
        count = float(sum(len(pair.regions) for pair in pairs))
        return total / (2 * reduce_mean(total.detach().new_tensor(count)).clamp(min=1.0))

    def _sum(self, pair: MapPair) -> Tensor:
        """sum_i (1/m_i) ||u_i - r(v_i)||^2 on one map."""
        student = pair.student if pair.student.dtype == torch.float64 else pair.student.float()
        teacher = pair.teacher.detach().to(student.dtype)
        if student.shape != teacher.shape:
            raise ValueError(
                f'FeatureMimicLoss compares maps of one shape, but the student has '
                f'{tuple(student.shape)} and the teacher {tuple(teacher.shape)}.'
            )
        if len(pair.regions) == 0:
            return student[:0].sum()  # a zero that stays in the graph
        regions = pair.regions.to(student.dtype)
        difference = teacher - student
        if self.standardized:
            variance = teacher.var(correction=0)
            difference = difference / variance.clamp(min=_LEAST_VARIANCE).sqrt()
        pooled = self.pooling == 'roi_align'
        return (self._sum_pooled if pooled else self._sum_pixels)(difference, regions)

    def _sum_pixels(self, difference: Tensor, regions: Tensor) -> Tensor:
        batch, channels, height, width = difference.shape
        cells = cells_inside(regions, height, width)
        weights = torch.ones_like(regions[:, 0])
        if self.normalized:
            sides = cells[:, 2:] - cells[:, :2]
            weights = weights / (channels * sides.prod(1))
        images = regions[:, 0].long()
        table = region_weights(images, cells, weights, (batch, height, width))
        return (difference.square().sum(1) * table).sum()

    def _sum_pooled(self, difference: Tensor, regions: Tensor) -> Tensor:
        # RoIAlign is linear: that of the difference is the difference of the two.
        pooled = roi_align(difference, regions, self.output_size, 1.0, SAMPLING_RATIO)
        elements = pooled[0].numel() if self.normalized else 1
        return pooled.square().sum() / elements

    def extra_repr(self) -> str:
        """The settings, for printing."""
        pooling = repr(self.pooling)
        if self.pooling == 'roi_align':
            pooling += f', output_size={self.output_size}'
        return f'normalized={self.normalized}, standardized={self.standardized}, pooling={pooling}'
