"""Which candidates become detections: thresholds and non-maximum suppression, in NumPy.

For files in the decoded form, whose engine has no such operator. The rules are mmcv's
`batched_nms` and `soft_nms` with mmdet's thresholds before and after; of equal scores the first
candidate comes first.
"""

import numpy as np

from mmdet_lcp_runtime.metadata import Thresholds

SOFT_SIGMA, SOFT_MIN = 0.5, 1e-3  # mmcv's defaults of soft_nms; its method is 'linear'


def overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of (4,) with (K, 4), (K,); a box without area has none."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    common = np.clip(sides, 0, None).prod(1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def likeness(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """As `overlaps`, and 1 for the same box: one without area overlaps not even itself."""
    return np.where((boxes == box).all(1), 1.0, overlaps(box, boxes))


def greedy(boxes: np.ndarray, scores: np.ndarray, iou: float, most: int = 0) -> np.ndarray:
    """Boxes that no better one overlaps by more than `iou`.

    Args:
        boxes: (K, 4), x1, y1, x2, y2.
        scores: (K,).
        iou: the largest overlap that stays.
        most: so many of them, the best; <= 0 is all.

    Returns:
        Their numbers, best first.
    """
    order = np.argsort(-scores, kind='stable')
    kept = []
    while order.size and (most <= 0 or len(kept) < most):
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[overlaps(boxes[best], boxes[order]) <= iou]
    return np.asarray(kept, np.int64)


def soft(boxes: np.ndarray, scores: np.ndarray, iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Linear soft NMS: an overlapped box loses as much of its score as is overlapped.

    Args:
        boxes: (K, 4).
        scores: (K,).
        iou: smaller overlaps cost nothing.

    Returns:
        Numbers of the boxes that keep a score of at least 0.001, best first, and their scores.
    """
    scores = scores.copy()
    left = np.arange(len(boxes))
    kept, values = [], []
    while left.size:
        best = left[np.argmax(scores[left])]
        if scores[best] < SOFT_MIN:
            break
        kept.append(best)
        values.append(scores[best])
        left = left[left != best]
        common = overlaps(boxes[best], boxes[left])
        scores[left] *= np.where(common > iou, 1 - common, 1)
        left = left[scores[left] >= SOFT_MIN]
    return np.asarray(kept, np.int64), np.asarray(values, scores.dtype)


def select(
    boxes: np.ndarray, scores: np.ndarray, limits: Thresholds, levels: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detections of one image.

    Args:
        boxes: (A, 4), or (A, C * 4) where each class has its own.
        scores: (A, C).
        limits: thresholds.
        levels: numbers of candidates of levels that follow each other, for `limits.nms_pre`;
            empty: all are of one level.

    Returns:
        Boxes (K, 4), scores (K,), labels (K,), best first.
    """
    classes = scores.shape[1]
    levels = levels if sum(levels) == len(scores) else (len(scores),)
    chosen, begin = [], 0
    for size in levels:
        flat = scores[begin : begin + size].ravel()
        where = np.flatnonzero(flat > limits.score)
        if 0 < limits.nms_pre < len(where):
            where = where[np.argsort(-flat[where], kind='stable')[: limits.nms_pre]]
        chosen.append(where + begin * classes)
        begin += size
    anchor, label = np.divmod(np.concatenate(chosen), classes)
    score = scores[anchor, label]
    box = boxes.reshape(len(scores), -1, 4)
    box = box[anchor, label if box.shape[1] > 1 else 0]
    real = (box[:, 2:] > box[:, :2]).all(1)  # boxes without area are no detections, as in mmdet
    box, score, label = box[real], score[real], label[real]
    kept, score = _suppressed(box, score, label, limits)
    order = np.argsort(-score, kind='stable')
    if limits.max_per_img > 0:
        order = order[: limits.max_per_img]
    kept, score = kept[order], score[order]
    return box[kept], score, label[kept]


def _suppressed(box, score, label, limits: Thresholds) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of what stays, and their scores; class by class, where classes count."""
    if limits.nms == 'none':
        return np.arange(len(score)), score
    groups = [np.arange(len(score))]
    if not limits.class_agnostic:
        groups = [np.flatnonzero(label == one) for one in np.unique(label)]
    kept, scores = [np.zeros(0, np.int64)], [np.zeros(0, score.dtype)]
    for own in groups:
        if limits.nms == 'nms':
            stay = greedy(box[own], score[own], limits.iou, limits.max_per_img)
            values = score[own][stay]
        else:
            stay, values = soft(box[own], score[own], limits.iou)
        kept.append(own[stay])
        scores.append(values)
    kept, scores = np.concatenate(kept), np.concatenate(scores)
    order = np.argsort(kept, kind='stable')  # ties of score are broken by number again
    return kept[order], scores[order]
