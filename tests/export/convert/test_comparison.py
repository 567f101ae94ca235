"""Differences of outputs, worked by hand."""

import numpy as np
import pytest
from made_onnx_files import facts

from mmdet_lcp.export.convert.comparison import compare, example_inputs


def decoded(boxes, scores) -> dict:
    return {'boxes': np.float32([boxes]), 'scores': np.float32([scores])}


def test_candidates_are_compared_place_by_place():
    one = decoded([[0, 0, 10, 10], [20, 20, 30, 30]], [[0.9, 0], [0, 0.8]])
    other = decoded([[0, 0, 10, 10.0625], [20, 20, 30, 30]], [[0.9, 0], [0, 0.80005]])
    found = compare(facts('decoded'), one, other)
    assert found.small and found.box == 0.0625 and found.score == pytest.approx(5e-5, rel=1e-2)
    assert found.alone == 0


def test_candidates_in_another_order_are_the_same_detections():
    one = decoded([[0, 0, 10, 10], [20, 20, 30, 30]], [[0.9, 0], [0, 0.9]])
    other = {name: value[:, ::-1] for name, value in one.items()}
    found = compare(facts('decoded'), one, other)
    assert found.small and found.box == found.score == found.alone == 0
    far = decoded([[0, 0, 10, 10], [20, 20, 30, 31]], [[0.9, 0], [0, 0.9]])
    found = compare(facts('decoded'), one, far)
    assert not found.small and found.alone == 0.5


def test_other_shapes_are_not_the_same():
    one = decoded([[0, 0, 10, 10]], [[0.9]])
    other = {'boxes': one['boxes'][None], 'scores': one['scores']}
    assert not compare(facts('decoded'), one, other).small


def detections(*rows) -> dict:
    """(x1, score, label) each, padded to four."""
    rows = [*rows, *[(0, 0, -1)] * (4 - len(rows))]
    dets = np.float32([[[x, 0, x + 10, 10, score] for x, score, _ in rows]])
    return {'dets': dets, 'labels': np.int64([[label for *_, label in rows]])}


def test_detections_are_compared_in_any_order():
    one = detections((0, 0.9, 0), (50, 0.9, 1), (99, 0.7, 1))
    other = detections((50, 0.9, 1), (0.0625, 0.9, 0), (99, 0.7, 1))
    found = compare(facts(), one, other)
    assert found.small and found.box == 0.0625 and found.alone == 0


@pytest.mark.parametrize(
    'other',
    [
        detections((0, 0.9, 0)),
        detections((0, 0.9, 0), (50, 0.9, 0)),
        detections((0, 0.9, 0), (51, 0.9, 1)),
        detections((0, 0.9, 0), (50, 0.89, 1)),
        detections((0, 0.9, 0), (50, 0.9, 1), (0, 0.9, 0)),
    ],
)
def test_other_detections(other):
    """One lacks; or has another label, box or score; or is there twice."""
    found = compare(facts(), detections((0, 0.9, 0), (50, 0.9, 1)), other)
    assert not found.small and found.alone == 0.5


def test_at_the_threshold_a_detection_may_lack():
    one = detections((0, 0.9, 0), (50, 0.40005, 1))
    assert compare(facts(), one, detections((0, 0.9, 0))).small


@pytest.mark.parametrize(
    ('given', 'shape', 'kind'),
    [
        (dict(), (2, 64, 64, 3), np.uint8),
        (dict(batch=3), (3, 64, 64, 3), np.uint8),
        (dict(layout='NCHW', channels=1, batch=1), (2, 1, 64, 64), np.uint8),
        (dict(dtype='float32', height=None, width=None), (2, 128, 128, 3), np.float32),
    ],
)
def test_made_inputs(given, shape, kind):
    found = example_inputs(facts(input=given))
    assert found.shape == shape and found.dtype == kind
    assert found.min() >= 0 and 100 < found.max() <= 255 and found.std() > 20


def test_made_inputs_are_normalised():
    keys = dict(dtype='float32', normalised_in_graph=False, mean=[100.0] * 3, std=[50.0] * 3)
    one, other = (
        example_inputs(facts(input={**keys})),
        example_inputs(facts(input=dict(dtype='float32'))),
    )
    np.testing.assert_allclose(one, (other - 100) / 50, atol=1e-4)
