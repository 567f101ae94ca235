"""Masks against mmdet's own pasting, and against masks drawn by hand."""

import numpy as np
import pytest

from mmdet_lcp_runtime.detections import Detections
from mmdet_lcp_runtime.masks import run_lengths, whole_masks
from mmdet_lcp_runtime.preparing import Placement


def test_masks_of_boxes_are_pasted_as_mmdet_does():
    torch = pytest.importorskip('torch')
    paste = pytest.importorskip('mmdet.models.roi_heads.mask_heads.fcn_mask_head')._do_paste_mask
    generator = np.random.default_rng(0)
    masks = generator.uniform(0, 1, (5, 28, 28)).astype(np.float32)
    corner = generator.uniform(-5, 40, (5, 2))
    boxes = np.concatenate([corner, corner + generator.uniform(3, 40, (5, 2))], 1)
    boxes = boxes.astype(np.float32)
    values, _ = paste(torch.from_numpy(masks[:, None]), torch.from_numpy(boxes), 50, 70, False)
    found = whole_masks(masks, boxes, Placement(50, 70), (640, 640))
    clear = np.abs(values.numpy() - 0.5) > 1e-4
    assert found.shape == (5, 50, 70) and found.any((1, 2)).all()
    assert np.array_equal(found[clear], (values.numpy() >= 0.5)[clear])


def test_masks_of_the_whole_input():
    """An image of twice the size, in the middle of a letterbox."""
    mask = np.zeros((1, 20, 30), np.float32)
    mask[0, 8:12, 10:20] = 1
    place = Placement(20, 60, (0.5, 0.5), (0, 5))
    (found,) = whole_masks(mask, np.zeros((1, 4)), place, (20, 30))
    expected = np.zeros((20, 60), bool)
    expected[6:14, 20:40] = True
    assert np.array_equal(found, expected)


def test_a_box_without_area_has_no_mask():
    boxes = np.float32([[5, 5, 5, 9]])
    assert not whole_masks(np.ones((1, 28, 28)), boxes, Placement(20, 20), (99, 99)).any()


@pytest.mark.parametrize('first', [False, True])
def test_run_lengths_are_read_by_pycocotools(first):
    """Column by column; what begins inside the mask has a run of 0 before it."""
    coder = pytest.importorskip('pycocotools.mask')
    mask = np.random.default_rng(0).random((9, 14)) > 0.6
    mask[0, 0] = first
    found = run_lengths(mask)
    assert (found['counts'][0] == 0) == first and sum(found['counts']) == mask.size
    packed = coder.frPyObjects(found, *mask.shape)
    assert np.array_equal(coder.decode(packed).astype(bool), mask)


@pytest.mark.parametrize(('value', 'counts'), [(False, [6]), (True, [0, 6])])
def test_run_lengths_of_one_run(value, counts):
    assert run_lengths(np.full((2, 3), value)) == {'size': [2, 3], 'counts': counts}


def test_plain_data_has_the_masks():
    masks = np.zeros((2, 4, 5), bool)
    masks[1, 2, 3] = True
    found = Detections(np.zeros((2, 4), np.float32), np.ones(2), np.zeros(2, int), masks)
    assert [row['segmentation']['counts'] for row in found.rows()] == [[20], [14, 1, 5]]
    boxes = np.full((2, 4), 84.34, np.float32)  # 84.33999633789062 as float64
    assert Detections(boxes, found.scores, found.labels).rows()[0]['box'] == [84.34] * 4
    bare = Detections(found.boxes, found.scores, found.labels)
    assert all('segmentation' not in row for row in bare.rows())


def test_another_threshold():
    """Of a map that grows from left to right, less of it passes a higher one."""
    mask = np.tile(np.linspace(0, 1, 11, dtype=np.float32), (5, 1))[None]
    found = [
        whole_masks(mask, np.zeros((1, 4)), Placement(5, 11), (5, 11), threshold).sum()
        for threshold in (0.25, 0.5, 0.75)
    ]
    assert found == [5 * 8, 5 * 6, 5 * 3]
