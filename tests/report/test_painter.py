"""What is drawn on an image: sizes, boxes, colours and the places of labels, seen in pixels."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmdet_lcp.report.painter import Painter

RED, BLUE = (220, 20, 60), (0, 82, 200)
GREEN = (10, 200, 90)


def image(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GREEN, np.uint8)


def boxes(*corners, labels=None) -> InstanceData:
    return InstanceData(
        bboxes=torch.tensor(corners, dtype=torch.float).reshape(-1, 4),
        labels=torch.tensor(labels or [0] * len(corners), dtype=torch.long),
    )


@pytest.fixture
def painter() -> Painter:
    return Painter(dict(classes=('cell', 'spot'), palette=[RED, BLUE]))


@pytest.mark.parametrize(
    ('size', 'smaller', 'expected'),
    [
        ((60, 80), 1.0, (480, 640)),  # the long side
        ((400, 100), 1.0, (1200, 300)),  # the short side never below 300
        ((60, 80), 0.5, (240, 320)),
    ],
)
def test_size(painter, size, smaller, expected):
    picture, count = painter.draw(image(*size), boxes(), smaller)
    assert picture.shape == (*expected, 3) and count == 0
    assert (picture == GREEN).all()


def test_boxes_in_the_colours_of_their_labels(painter):
    found = boxes((10, 10, 30, 40), (50, 20, 70, 50), labels=[0, 1])
    picture, count = painter.draw(image(60, 80), found)
    assert count == 2
    for left, top, bottom, colour in ((10, 10, 40, RED), (50, 20, 50, BLUE)):
        edge = picture[8 * top + 40 : 8 * bottom - 8, 8 * left - 2 : 8 * left + 3].astype(int)
        other = BLUE if colour == RED else RED
        # in each row of the edge, the pixel that is nearest
        own, foreign = (np.abs(edge - each).sum(2).min(1) for each in (colour, other))
        assert np.median(own) < 100 < np.median(foreign)
    inside = picture[8 * 25 : 8 * 38, 8 * 12 : 8 * 28]
    assert np.abs(inside.astype(int) - GREEN).max() < 6  # boxes are not filled


def test_what_lies_outside_or_is_empty_is_left_out(painter):
    found = boxes((-20, -20, -5, -5), (10, 10, 10, 30), (70, 50, 200, 200))
    picture, count = painter.draw(image(60, 80), found)
    assert count == 1  # the last one, as far as it lies in the picture
    assert np.abs(picture[:, : 8 * 60].astype(int) - GREEN).max() < 6


def test_labels_hide_no_other_and_stay_inside(painter):
    corners = [(10, 10, 40, 40)] * 3 + [(0, 0, 79, 59), (60, 1, 79, 20)]
    painter.draw(image(60, 80), boxes(*corners))
    assert len(painter.labels) == 5
    for number, (left, top, width, height) in enumerate(painter.labels):
        assert 0 <= left <= 640 - width and 0 <= top <= 480 - height
        for x, y, w, h in painter.labels[:number]:
            apart = left + width <= x or x + w <= left or top + height <= y or y + h <= top
            assert apart


def test_a_label_without_a_name_or_colour():
    picture, count = Painter({}).draw(image(60, 80), boxes((10, 10, 30, 40), labels=[4]))
    assert count == 1 and (picture != GREEN).any()
