"""Masks of instances: from what a file gives to one mask of the image each."""

import numpy as np

from mmdet_lcp_runtime.metadata import MASK_THRESHOLD
from mmdet_lcp_runtime.preparing import Placement


def sampled(plane: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A plane (h, w) at all (y, x), between pixels bilinear, outside 0.

    Args:
        plane: its pixel (0, 0) has its centre at (0, 0).
        x: (W,).
        y: (H,).

    Returns:
        (H, W).
    """
    padded = np.pad(plane.astype(np.float32), 1)
    x, y = (np.clip(v + 1, 0, n - 1) for v, n in zip((x, y), padded.shape[::-1], strict=True))
    left, top = (
        np.minimum(v.astype(int), n - 2) for v, n in zip((x, y), padded.shape[::-1], strict=True)
    )
    right, down = (x - left).astype(np.float32), (y - top).astype(np.float32)[:, None]
    upper = padded[top][:, left] * (1 - right) + padded[top][:, left + 1] * right
    lower = padded[top + 1][:, left] * (1 - right) + padded[top + 1][:, left + 1] * right
    return upper * (1 - down) + lower * down


def run_lengths(mask: np.ndarray) -> dict[str, list[int]]:
    """A mask as COCO's uncompressed run lengths, which pycocotools and annotation tools read.

    Args:
        mask: (H, W), bool.

    Returns:
        ``size``: H and W; ``counts``: lengths of runs of pixels, column by column from the left,
        the first of pixels outside the mask, which may be 0 long.
    """
    flat = np.concatenate([[False], mask.ravel(order='F'), [not mask[-1, -1]]])
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], starts]))
    return {'size': list(mask.shape), 'counts': counts.tolist()}


def whole_masks(
    masks: np.ndarray,
    boxes: np.ndarray,
    placement: Placement,
    size: tuple[int, int],
    threshold: float = MASK_THRESHOLD,
) -> np.ndarray:
    """Masks of the image.

    Args:
        masks: (K, h, w), probabilities, or 0 and 1: of the whole input, or of each box.
        boxes: (K, 4) in pixels of the image.
        placement: of the image in the input.
        size: (height, width) of the input in pixels: masks of that size are of the whole of it.
        threshold: from which probability on a pixel belongs to the mask, 0 to 1.

    Returns:
        (K, height, width) of the image, bool.
    """
    x, y = np.arange(placement.width) + 0.5, np.arange(placement.height) + 0.5
    made = np.zeros((len(masks), placement.height, placement.width), bool)
    for own, mask, box in zip(made, masks, boxes, strict=True):
        if mask.shape == tuple(size):
            own[:] = (
                sampled(
                    mask,
                    x * placement.scale[0] + placement.offset[0] - 0.5,
                    y * placement.scale[1] + placement.offset[1] - 0.5,
                )
                >= threshold
            )
            continue
        sides = box[2:] - box[:2]
        if (sides <= 0).any():
            continue
        own[:] = (
            sampled(
                mask,
                (x - box[0]) / sides[0] * mask.shape[1] - 0.5,
                (y - box[1]) / sides[1] * mask.shape[0] - 0.5,
            )
            >= threshold
        )
    return made
