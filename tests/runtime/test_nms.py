"""Selection in NumPy against mmcv's operators and mmdet's thresholds."""

import numpy as np
import pytest

from mmdet_lcp_runtime import nms
from mmdet_lcp_runtime.metadata import Thresholds

LIMITS = dict(score=0.05, iou=0.5, nms_pre=-1, max_per_img=-1, class_agnostic=False, nms='nms')


def limits(**keys) -> Thresholds:
    return Thresholds(**{**LIMITS, **keys})


def candidates(count=200, classes=3, seed=0, own_boxes=False):
    generator = np.random.default_rng(seed)
    shape = (count, classes if own_boxes else 1, 2)
    corner = generator.uniform(0, 100, shape)
    boxes = np.concatenate([corner, corner + generator.uniform(5, 60, shape)], 2)
    scores = generator.uniform(0, 1, (count, classes)).astype(np.float32)
    return boxes.reshape(count, -1).astype(np.float32), scores


def by_mmcv(boxes, scores, labels, **keys):
    torch = pytest.importorskip('torch')
    ops = pytest.importorskip('mmcv.ops')
    tensors = (torch.from_numpy(np.ascontiguousarray(v)) for v in (boxes, scores, labels))
    agnostic = keys.pop('class_agnostic', False)
    dets, kept = ops.batched_nms(*tensors, keys, class_agnostic=agnostic)
    return dets.numpy(), labels[kept.numpy()]


@pytest.mark.parametrize('agnostic', [False, True])
@pytest.mark.parametrize('own_boxes', [False, True])
def test_greedy_is_mmcvs(agnostic, own_boxes):
    boxes, scores = candidates(own_boxes=own_boxes)
    found = nms.select(boxes, scores, limits(class_agnostic=agnostic))
    anchor, label = np.nonzero(scores > 0.05)
    each = np.repeat(boxes[:, None], 3, 1) if not own_boxes else boxes.reshape(-1, 3, 4)
    dets, labels = by_mmcv(each[anchor, label], scores[anchor, label], label, type='nms',
                           iou_threshold=0.5, class_agnostic=agnostic)  # fmt: skip
    assert len(dets) == len(found[0]) > 20
    np.testing.assert_array_equal(found[1], dets[:, 4])
    np.testing.assert_allclose(found[0], dets[:, :4], atol=1e-4)
    np.testing.assert_array_equal(found[2], labels)


def test_soft_is_mmcvs():
    boxes, scores = candidates(60)
    found = nms.select(boxes, scores, limits(nms='soft_nms', iou=0.3))
    anchor, label = np.nonzero(scores > 0.05)
    dets, labels = by_mmcv(boxes[anchor], scores[anchor, label], label, type='soft_nms',
                           iou_threshold=0.3, min_score=1e-3)  # fmt: skip
    assert len(dets) == len(found[0]) > 60
    np.testing.assert_allclose(found[1], dets[:, 4], atol=1e-5)
    np.testing.assert_allclose(found[0], dets[:, :4], atol=1e-4)
    np.testing.assert_array_equal(found[2], labels)


@pytest.mark.parametrize('levels', [(), (150, 50)])
def test_the_best_of_each_level_are_looked_at(levels):
    """As mmdet does before it puts the levels together."""
    torch = pytest.importorskip('torch')
    topk = pytest.importorskip('mmdet.models.utils').filter_scores_and_topk
    boxes, scores = candidates()
    expected, begin = [], 0
    for size in levels or (200,):
        part = torch.from_numpy(scores[begin : begin + size])
        top, label, anchor, _ = topk(part, 0.05, 40)
        expected += zip(top.tolist(), label.tolist(), (anchor + begin).tolist(), strict=True)
        begin += size
    expected.sort(reverse=True)
    found = nms.select(boxes, scores, limits(nms='none', nms_pre=40), levels)
    assert len(found[0]) == len(expected) == 40 * max(1, len(levels))
    for box, score, label, own in zip(*found, expected, strict=True):
        assert (score, label) == (np.float32(own[0]), own[1])
        np.testing.assert_array_equal(box, boxes[own[2]])


def test_the_most_of_an_image():
    boxes, scores = candidates()
    whole = nms.select(boxes, scores, limits())
    few = nms.select(boxes, scores, limits(max_per_img=7))
    for one, other in zip(few, whole, strict=True):
        np.testing.assert_array_equal(one, other[:7])


@pytest.mark.parametrize('agnostic', [False, True])
@pytest.mark.parametrize('most', [1, 5, 17])
def test_the_most_of_an_image_are_the_best_of_all(agnostic, most):
    """Also with equal scores, at which classes are cut."""
    boxes, scores = candidates()
    scores = np.round(scores, 1)
    whole = nms.select(boxes, scores, limits(class_agnostic=agnostic))
    found = nms.select(boxes, scores, limits(class_agnostic=agnostic, max_per_img=most))
    assert len(whole[1]) > 17
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one, other[:most])


def test_nothing_is_found():
    boxes, scores = candidates()
    for kind in ('nms', 'soft_nms', 'none'):
        found = nms.select(boxes, scores, limits(score=1.0, nms=kind))
        assert [part.shape for part in found] == [(0, 4), (0,), (0,)]


def test_of_equal_scores_the_first_comes_first():
    """Three far boxes and one like the second: it is the second that stays."""
    boxes = np.float32([[0, 0, 10, 10], [50, 0, 60, 10], [50, 1, 60, 11], [0, 50, 10, 60]])
    scores = np.full((4, 1), 0.5, np.float32)
    found = nms.select(boxes, scores, limits(iou=0.5))
    np.testing.assert_array_equal(found[0], boxes[[0, 1, 3]])


def test_boxes_without_area_are_no_detections():
    boxes = np.float32([[0, 0, 0, 10], [0, 5, 9, 5], [0, 0, 10, 10]])
    found = nms.select(boxes, np.full((3, 1), 0.5, np.float32), limits())
    np.testing.assert_array_equal(found[0], boxes[2:])


def test_boxes_without_area_overlap_nothing():
    boxes = np.float32([[5, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10]])
    assert (nms.overlaps(boxes[0], boxes) == 0).all()
    # intersection 50, union 150
    assert nms.overlaps(boxes[2], np.float32([[5, 0, 15, 10]])) == pytest.approx([1 / 3])


def test_a_box_without_area_is_like_itself_alone():
    """Half of a square is half of it; a line overlaps nothing, and is itself."""
    boxes = np.float32([[0, 0, 10, 10], [0, 0, 10, 5], [3, 3, 3, 9], [3, 3, 3, 8]])
    np.testing.assert_allclose(nms.likeness(boxes[0], boxes), [1, 0.5, 0, 0])
    np.testing.assert_allclose(nms.likeness(boxes[2], boxes), [0, 0, 1, 0])
    np.testing.assert_allclose(nms.overlaps(boxes[2], boxes), [0, 0, 0, 0])
