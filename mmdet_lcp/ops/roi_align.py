"""RoIAlign that is fast on a CPU too.

mmcv's CPU operator reads one channel at a time, across the memory, in one thread. With a fixed
grid of sample points average pooling is a weighted sum of rows of the map (a pixel's channels),
and for that PyTorch has an operator, `embedding_bag`, with a fast backward: see
`benchmarks/bench_roi_align.py`.
"""

import torch
from mmcv.ops import roi_align as mmcv_roi_align
from torch import Tensor
from torch.nn import functional as F


def roi_align(
    features: Tensor,
    rois: Tensor,
    output_size: int,
    spatial_scale: float,
    sampling_ratio: int = 2,
    pool_mode: str = 'avg',
    aligned: bool = True,
) -> Tensor:
    """Pool each region to a fixed size, with mmcv's values, to rounding.

    Source: He et al., Mask R-CNN (arXiv 1703.06870), section 3; at the map's edges as mmcv.
    Average pooling on a CPU is computed here, everything else by mmcv.

    Args:
        features: (N, C, H, W), float32 or float64, with any strides.
        rois: (R, 5): image index in the batch, then (x1, y1, x2, y2), of the dtype of `features`.
            No gradient flows to them.
        output_size: Bins along each side, at least 1.
        spatial_scale: Feature pixels per unit of `rois`.
        sampling_ratio: Sample points along each side of a bin, at least 1.
        pool_mode: 'avg' or 'max' over the sample points of a bin.
        aligned: Shift by half a pixel, so that pixel centres lie at half-integers.

    Returns:
        (R, C, output_size, output_size).
    """
    if pool_mode == 'avg' and features.device.type == 'cpu' and len(rois) > 0:
        with torch.no_grad():
            pixels, weights = _bins(
                features, rois, output_size, spatial_scale, sampling_ratio, aligned
            )
        rows = features.permute(0, 2, 3, 1).flatten(0, 2)
        pooled = F.embedding_bag(pixels, rows, mode='sum', per_sample_weights=weights)
        shape = (len(rois), output_size, output_size, features.size(1))
        return pooled.view(shape).permute(0, 3, 1, 2).contiguous()
    # mmcv reads raw memory: a channels-last or expanded map would be pooled as garbage.
    return mmcv_roi_align(
        features.contiguous(),
        rois.contiguous(),
        (output_size, output_size),
        float(spatial_scale),
        sampling_ratio,
        pool_mode,
        aligned,
    )


def _bins(
    features: Tensor,
    rois: Tensor,
    size: int,
    scale: float,
    points: int,
    aligned: bool,
) -> tuple[Tensor, Tensor]:
    """The pixels that each bin reads and their weights, both (R * size², (2 * points)²).

    A pixel is counted image by image, row by row. Bilinear weights are products of one factor a
    side, and so is their mean over a bin's grid of points.
    """
    height, width = features.shape[-2:]
    corners = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    extent = corners[:, 2:] - corners[:, :2]
    if not aligned:
        extent = extent.clamp(min=1.0)
    column, across = _side(corners[:, 0], extent[:, 0], size, points, width)
    row, down = _side(corners[:, 1], extent[:, 1], size, points, height)
    image = rois[:, 0].long()[:, None, None, None, None]
    pixels = (image * height + row[:, :, None, :, None]) * width + column[:, None, :, None, :]
    weights = down[:, :, None, :, None] * across[:, None, :, None, :]
    bag = (len(rois) * size**2, (2 * points) ** 2)
    return pixels.reshape(bag), weights.reshape(bag)


def _side(
    start: Tensor, extent: Tensor, size: int, points: int, cells: int
) -> tuple[Tensor, Tensor]:
    """Along one side: the cells that each bin reads and their weights, both (R, size, 2 * points).

    Each point lies between two cells. One within a cell of the map's edge is moved onto it, one
    further out counts as zero.
    """
    grid = (torch.arange(size * points, dtype=start.dtype) + 0.5) / points
    at = start[:, None] + (extent / size)[:, None] * grid
    inside = (at >= -1) & (at <= cells)
    at = at.clamp(0, cells - 1)
    low = at.floor()
    beyond = at - low
    low = low.long()
    high = (low + 1).clamp(max=cells - 1)
    weights = torch.stack([1 - beyond, beyond], -1) * inside[..., None] / points
    shape = (len(start), size, 2 * points)
    return torch.stack([low, high], -1).view(shape), weights.view(shape)
