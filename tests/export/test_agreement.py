"""Lists of detections, worked by hand."""

import numpy as np
import pytest

from mmdet_lcp.export.agreement import Found, agreement

FAR = [[0, 0, 10, 10], [50, 0, 60, 10], [0, 50, 10, 60]]  # none overlaps another


def found(boxes, scores, labels=None) -> Found:
    return Found(
        np.array(boxes, float).reshape(-1, 4),
        np.array(scores, float),
        np.array([0] * len(scores) if labels is None else labels),
    )


def compared(one: Found, other: Found, **keys):
    return agreement(one, other, **{'score_thr': 0.05, 'iou_thr': 0.5, 'most': 100, **keys})


def test_the_same_in_another_order():
    one = found([FAR[2], FAR[0], FAR[1]], [0.5, 0.9, 0.5], [1, 0, 1])
    other = found([FAR[0], FAR[1], FAR[2]], [0.9, 0.5, 0.50005], [0, 1, 1])
    result = compared(one, other)
    assert (result.pairs, result.ties, result.others, result.box) == (3, 0, 0, 0)
    assert result.score == pytest.approx(5e-5)


def test_differences_of_pairs():
    moved = [[0.04, 0, 10, 10], FAR[1]]
    result = compared(found(moved, [0.9, 0.5]), found(FAR[:2], [0.9, 0.5]))
    assert result.pairs == 2 and result.box == pytest.approx(0.04)


@pytest.mark.parametrize(
    'one',
    [
        found([[0.2, 0, 10, 10], FAR[1]], [0.9, 0.5]),  # 0.2 pixels away
        found(FAR[:2], [0.9005, 0.5]),  # another score
        found(FAR[:2], [0.9, 0.5], [1, 0]),  # another label
    ],
)
def test_others(one):
    result = compared(one, found(FAR[:2], [0.9, 0.5]))
    assert (result.pairs, result.ties, result.others) == (1, 0, 2)


def test_one_that_lacks():
    both = found(FAR[:2], [0.9, 0.5])
    assert compared(found(FAR[:1], [0.9]), both).others == 1
    assert compared(both, found(FAR[:1], [0.9])).others == 1
    assert compared(found([], []), found([], [])).others == 0


def test_at_the_threshold_of_scores():
    one, other = found(FAR[:1], [0.9]), found(FAR[:2], [0.9, 0.05005])
    assert (compared(one, other).ties, compared(one, other).others) == (1, 0)


def test_the_last_of_a_full_list():
    one, other = found(FAR[:2], [0.9, 0.5]), found([FAR[0], FAR[2]], [0.9, 0.50002])
    assert compared(one, other, most=2).ties == 2
    assert compared(one, other, most=3).others == 2


def test_which_of_two_equal_boxes_suppresses_the_other():
    """Overlap 8 / 12; the scores differ in the fifth digit."""
    one, other = found([[0, 0, 10, 10]], [0.7]), found([[2, 0, 12, 10]], [0.70001])
    assert (compared(one, other).ties, compared(one, other).others) == (2, 0)
    assert compared(one, other, iou_thr=0.9).others == 2
    other.labels[:] = 1
    assert compared(one, other).others == 2
    assert compared(one, other, class_agnostic=True).ties == 2


def test_an_overlap_right_at_the_threshold():
    """9 / 11: kept in one list, suppressed in the other."""
    boxes = [[0, 0, 10, 10], [1, 0, 11, 10]]
    one, other = found(boxes[:1], [0.9]), found(boxes, [0.9, 0.6])
    assert compared(one, other, iou_thr=9 / 11).ties == 1
    assert compared(one, other, iou_thr=0.8).others == 1


def test_bool_masks_are_compared_by_their_overlap():
    """Two of three pixels in common; and two masks without a pixel are the same."""
    box, score, label = np.float32([[0, 0, 9, 9], [20, 20, 29, 29]]), np.float32([1, 0.5]), [0, 1]
    masks = np.zeros((2, 2, 30, 30), bool)
    masks[0, 0, 0, :2] = masks[1, 0, 0, :3] = True
    one, other = (Found(box, score, np.array(label), own) for own in masks)
    assert agreement(one, other, 0.05, 0.5, 100).mask == pytest.approx(1 / 3)
    assert agreement(one, one, 0.05, 0.5, 100).mask == 0
