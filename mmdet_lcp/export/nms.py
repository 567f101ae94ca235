"""Non-maximum suppression of a batch of images, with ONNX's own operator.

As in mmcv, boxes of different classes are moved apart, so that one suppression does for all
classes; with the same offsets, its float32 numbers are mmcv's. Everything has a fixed size: a
score of 0 means that there is no box.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

NONE = -1  # label of what is no detection


class Boxes(NamedTuple):
    """Candidates, or detections.

    Attributes:
        boxes: x1, y1, x2, y2 in pixels, (N, K, 4).
        scores: (N, K); 0 where there is none.
        labels: (N, K), int64.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class NonMaxSuppression(torch.autograd.Function):
    """ONNX's operator: indices of what stays, (M, 3) int64: image, 0, box."""

    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, most: int, iou: float) -> Tensor:
        """`boxes` (N, K, 4), `scores` (N, 1, K), above 0 what counts.

        In NumPy: a trace keeps the operator whole, and of tensors it would look inside.
        """
        found = [
            (image, 0, kept)
            for image, (own, weights) in enumerate(
                zip(boxes.detach().numpy(), scores.detach().numpy()[:, 0], strict=True)
            )
            for kept in _kept(own, weights, most, iou)
        ]
        return torch.from_numpy(np.array(found, np.int64).reshape(-1, 3))

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, most: int, iou: float) -> Any:
        """The node."""

        def constant(value: float, dtype: torch.dtype) -> Any:
            return g.op('Constant', value_t=torch.tensor([value], dtype=dtype))

        more = (constant(iou, torch.float32), constant(0.0, torch.float32))
        return g.op('NonMaxSuppression', boxes, scores, constant(most, torch.int64), *more)


def _kept(boxes: np.ndarray, scores: np.ndarray, most: int, iou: float) -> list[int]:
    """Indices of what stays of an image, the best first."""
    order = np.argsort(-scores, kind='stable')
    order = order[scores[order] > 0]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while len(order) and len(kept) < most:
        first, order = order[0], order[1:]
        kept.append(int(first))
        low = np.maximum(boxes[first, :2], boxes[order, :2])
        high = np.minimum(boxes[first, 2:], boxes[order, 2:])
        common = (high - low).clip(0).prod(1)
        with np.errstate(divide='ignore', invalid='ignore'):
            overlap = common / (areas[first] + areas[order] - common)
        order = order[~(overlap > np.float32(iou))]
    return kept


def suppress(found: Boxes, iou: float, most: int, class_agnostic: bool = False) -> Boxes:
    """Keep what no better box of its class overlaps; the best first.

    Args:
        found: candidates.
        iou: overlaps above this suppress.
        most: so many stay of an image.
        class_agnostic: whether other classes suppress, too.

    Returns:
        (N, most) each; where there is none the score is 0, the label -1 and the box 0.
    """
    boxes, scores, labels = found
    apart = boxes
    if not class_agnostic:
        valid = (scores > 0)[..., None]
        furthest = torch.where(valid, boxes, torch.zeros_like(boxes)).flatten(1)
        furthest = furthest.amax(1)[:, None] + 1
        apart = boxes + (labels.to(boxes.dtype) * furthest)[..., None]
    kept = NonMaxSuppression.apply(apart, scores[:, None], most, iou)
    where = kept[:, 0] * int(scores.shape[1]) + kept[:, 2]
    ones = torch.ones_like(where, dtype=scores.dtype)
    mask = torch.zeros_like(scores).flatten().scatter(0, where, ones).reshape_as(scores)
    return best(Boxes(boxes, scores * mask, labels), most)


def best(found: Boxes, most: int) -> Boxes:
    """The `most` best of each image, in order; padded as `suppress` does."""
    count = min(most, int(found.scores.shape[1]))
    scores, index = found.scores.topk(count, dim=1)
    boxes = found.boxes.gather(1, index[..., None].expand(-1, -1, 4))
    labels = found.labels.gather(1, index)
    there = scores > 0
    boxes = torch.where(there[..., None], boxes, torch.zeros_like(boxes))
    labels = torch.where(there, labels, torch.full_like(labels, NONE))
    lacking = most - count
    if lacking:
        scores = nn.functional.pad(scores, (0, lacking))
        boxes = nn.functional.pad(boxes, (0, 0, 0, lacking))
        labels = nn.functional.pad(labels, (0, lacking), value=NONE)
    return Boxes(boxes, scores, labels)
