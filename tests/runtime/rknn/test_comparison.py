"""Pairs of detections, worked by hand."""

import numpy as np
import pytest

from mmdet_lcp_runtime import Detections
from mmdet_lcp_runtime.rknn.comparison import compare, matches


def found(*rows) -> Detections:
    """Rows (x1, y1, x2, y2, score, label)."""
    values = np.float32(rows).reshape(-1, 6)
    return Detections(values[:, :4], values[:, 4], values[:, 5].astype(np.int64))


ONE = found((0, 0, 10, 10, 0.9, 0), (20, 0, 30, 10, 0.8, 0), (40, 0, 50, 10, 0.5, 1))


def test_pairs_are_of_one_class_and_overlap_by_half():
    other = found(
        (20, 1, 30, 10, 0.7, 0),  # nine tenths of the second
        (0, 0, 10, 4, 0.6, 0),  # two fifths of the first: none of it
        (40, 0, 50, 10, 0.5, 0),  # another class than the third
    )
    assert matches(ONE, other) == [(1, 0)]
    agreement = compare([(ONE, other), (found(), found())])
    assert (agreement.photos, agreement.given, agreement.made, agreement.both) == (2, 3, 3, 1)
    assert agreement.box == 1 and agreement.score == pytest.approx(0.1)
    assert str(agreement) == (
        '1 of 3 detections again, 2 others; boxes differ by up to 1 pixels, scores by up to 0.1'
    )


def test_each_detection_is_in_one_pair_and_the_best_overlap_counts():
    twice = found((0, 0, 10, 8, 0.9, 0), (0, 0, 10, 10, 0.8, 0))
    assert matches(ONE, twice) == [(0, 1)]
    assert matches(twice, ONE) == [(0, 0)]


def test_a_box_without_area_is_itself():
    flat = found((0, 64, 30, 64, 0.9, 0))
    assert matches(flat, flat) == [(0, 0)]
    assert matches(flat, found((0, 64, 31, 64, 0.9, 0))) == []


def test_nothing_agrees_with_nothing():
    agreement = compare([])
    assert (agreement.photos, agreement.both, agreement.box) == (0, 0, 0)
    assert 'nothing was compared' in agreement.warning


def test_less_than_nine_of_ten_are_worth_a_warning():
    assert compare([(ONE, ONE)]).warning == ''
    two = found((0, 0, 10, 10, 0.9, 0), (20, 0, 30, 10, 0.8, 0))
    assert 'less than nine of ten' in compare([(ONE, two)]).warning
    assert 'less than nine of ten' in compare([(two, ONE)]).warning
    twenty = found(*((20 * n, 0, 20 * n + 10, 10, 0.9, 0) for n in range(20)))
    assert compare([(twenty, twenty.above(0)), (ONE, ONE), (ONE, two)]).warning == ''
