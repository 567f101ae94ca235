"""Pictures: where the frames are, and that nothing else is touched."""

import sys

import numpy as np
import pytest

from mmdet_lcp_runtime.detections import Detections
from mmdet_lcp_runtime.draw import colour, draw


def detections(*scores: float, masks=None) -> Detections:
    boxes = np.float32([[10, 30, 40, 60], [-9, 5, 500, 90]][: len(scores)])
    return Detections(boxes, np.float32(scores), np.arange(len(scores)), masks, ('cat',))


@pytest.fixture(params=['cv2', 'PIL', None])
def library(request, monkeypatch):
    for name in {'cv2': (), 'PIL': ('cv2',), None: ('cv2', 'PIL')}[request.param]:
        monkeypatch.setitem(sys.modules, name, None)
    if request.param:
        pytest.importorskip(request.param)
    return request.param


def test_a_frame_and_a_name(library):
    image = np.zeros((100, 100, 3), np.uint8)
    picture = draw(image, detections(0.9))
    assert not image.any()
    frame = np.zeros((100, 100), bool)
    frame[30:60, 10:40] = True
    frame[31:59, 11:39] = False
    assert (picture[frame] == colour(0)).all()
    written = picture.any(2) & ~frame
    assert written.any() == (library is not None)
    rows, columns = np.nonzero(written)
    if library:  # above the box
        assert rows.max() < 32 and rows.min() >= 10 and columns.min() >= 8


def test_low_scores_are_left_out(library):
    image = np.full((100, 100, 3), 7, np.uint8)
    assert np.array_equal(draw(image, detections(0.2, 0.1)), image)
    assert not np.array_equal(draw(image, detections(0.2), score=0.1), image)


def test_boxes_over_the_border(library):
    picture = draw(np.zeros((100, 100, 3), np.uint8), detections(0.1, 0.9))
    assert (picture[95:, :] == 0).all() and (picture[40:90, 0] == colour(1)).all()


@pytest.mark.parametrize('channels', [1, 4])
def test_other_images(channels):
    picture = draw(np.full((100, 100, channels), 7, np.uint8), detections(0.9))
    assert picture.shape == (100, 100, 3) and (picture[80, 80] == 7).all()


def test_masks_shine_through():
    masks = np.zeros((1, 100, 100), bool)
    masks[0, 45, 25] = True
    picture = draw(np.full((100, 100, 3), 100, np.uint8), detections(0.9, masks=masks))
    assert (picture[45, 25] == (50 + 0.5 * np.array(colour(0))).astype(np.uint8)).all()
    assert (picture[46, 25] == 100).all()


def test_neighbours_differ():
    colours = np.array([colour(n) for n in range(20)])
    assert (np.abs(np.diff(colours.astype(int), axis=0)).sum(1) > 100).all()
