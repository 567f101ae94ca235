"""Whether two lists of detections of an image are the same up to ties.

Equal scores may come in any order, and which of two equal boxes suppresses the other depends on
that order; an overlap or a score right at its threshold may fall to either side. Everything else
has to be there in both.
"""

from dataclasses import dataclass

import numpy as np

from mmdet_lcp_runtime.nms import overlaps

BOX, SCORE, OVERLAP = 0.1, 1e-4, 1e-3  # pixels; probability; IoU


@dataclass
class Found:
    """Detections of an image.

    Attributes:
        boxes: x1, y1, x2, y2 in pixels, (K, 4).
        scores: (K,).
        labels: (K,).
        masks: (K, h, w) in [0, 1], or bool, or None.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)


@dataclass
class Agreement:
    """How two lists compare.

    Attributes:
        pairs: so many detections are in both.
        box: largest difference of a coordinate of a pair, in pixels.
        score: largest difference of scores of a pair.
        mask: largest difference of a mask of a pair, 0 without masks; of bool ones 1 - IoU.
        ties: so many are in one list alone, for a tie or a threshold.
        others: so many are in one list alone, without such a reason.
    """

    pairs: int = 0
    box: float = 0.0
    score: float = 0.0
    mask: float = 0.0
    ties: int = 0
    others: int = 0

    def __add__(self, other: 'Agreement') -> 'Agreement':
        return Agreement(
            self.pairs + other.pairs,
            max(self.box, other.box),
            max(self.score, other.score),
            max(self.mask, other.mask),
            self.ties + other.ties,
            self.others + other.others,
        )


def agreement(
    one: Found,
    other: Found,
    score_thr: float,
    iou_thr: float,
    most: int,
    class_agnostic: bool = False,
) -> Agreement:
    """Compare two lists of detections of an image.

    Args:
        one: a list.
        other: the list that is right.
        score_thr: what scores had to pass.
        iou_thr: what overlaps suppressed.
        most: so many are reported at most.
        class_agnostic: whether boxes of other classes suppressed, too.
    """
    pairs = _pairs(one, other)
    result = Agreement(pairs=len(pairs))
    if pairs:
        left, right = (np.array(side) for side in zip(*pairs, strict=True))
        result.box = float(np.abs(one.boxes[left] - other.boxes[right]).max())
        result.score = float(np.abs(one.scores[left] - other.scores[right]).max())
        if one.masks is not None and other.masks is not None:
            couples = zip(left, right, strict=True)
            result.mask = max(_apart(one.masks[a], other.masks[b]) for a, b in couples)
    alone = [
        (each, [n for n in range(len(each)) if n not in used])
        for each, used in ((one, {a for a, _ in pairs}), (other, {b for _, b in pairs}))
    ]
    for number, (each, indices) in enumerate(alone):
        rival, rivals = alone[1 - number]
        for index in indices:
            if _tied(each, index, rival, rivals, score_thr, iou_thr, most, class_agnostic):
                result.ties += 1
            else:
                result.others += 1
    return result


def _pairs(one: Found, other: Found) -> list[tuple[int, int]]:
    """Greedily, the best scores first, the nearest box of the label and score."""
    free = np.ones(len(one), bool)
    pairs = []
    for index in np.argsort(-other.scores, kind='stable'):
        fits = (
            free
            & (one.labels == other.labels[index])
            & (np.abs(one.scores - other.scores[index]) <= SCORE)
        )
        if not fits.any():
            continue
        away = np.where(fits, np.abs(one.boxes - other.boxes[index]).max(1), np.inf)
        nearest = int(away.argmin())
        if away[nearest] <= BOX + 1e-5 * np.abs(other.boxes[index]).max():
            free[nearest] = False
            pairs.append((nearest, int(index)))
    return pairs


def _tied(
    each: Found,
    index: int,
    rival: Found,
    rivals: list[int],
    score_thr: float,
    iou_thr: float,
    most: int,
    class_agnostic: bool,
) -> bool:
    """Whether a detection of `each` may lack in `rival`, whose own alone are `rivals`."""
    score, box = each.scores[index], each.boxes[index]
    if abs(score - score_thr) <= SCORE:
        return True
    if len(rival) >= most and score <= rival.scores.min() + SCORE:
        return True  # the list was full
    ious = overlaps(box, rival.boxes)
    if not class_agnostic:
        ious = np.where(rival.labels == each.labels[index], ious, 0)
    better = rival.scores >= score - SCORE
    at_threshold = better & (np.abs(ious - iou_thr) <= OVERLAP)
    equal = better & (rival.scores <= score + SCORE)
    chained = np.zeros(len(rival), bool)
    chained[rivals] = True
    # nearer than that they are no two candidates, but one that is not where it should be
    overlapping = (ious > iou_thr) & (np.abs(rival.boxes - box).max(1) > 10 * BOX)
    return bool((at_threshold | ((equal | chained) & overlapping)).any())


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """Of two masks: the largest difference, or of bool ones 1 - IoU."""
    if one.dtype != bool:
        return float(np.abs(one - other).max())
    union = (one | other).sum()
    return float(1 - (one & other).sum() / union) if union else 0.0
