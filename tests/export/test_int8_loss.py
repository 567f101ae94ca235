"""Losses worked by hand."""

import numpy as np
import onnx
import pytest
from made_onnx_files import network_file, numpy_helper

from mmdet_lcp.export.int8_loss import Measured, changed
from mmdet_lcp.export.int8_network import network_of

pytest.importorskip('onnxruntime')


def test_loss_is_in_standard_deviations(tmp_path):
    """The biases of one of two heads are moved by a tenth: a tenth over its spread, halved."""
    source = network_file(tmp_path / 'x.onnx')
    model = onnx.load(str(source))
    network = network_of(model)
    generator = np.random.default_rng(0)
    images = [generator.normal(size=(1, 3, 64, 64)).astype(np.float32) for _ in range(3)]
    for each in model.graph.initializer:
        if each.name == 'cls.bias':
            each.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(each) + np.float32(0.1), 'cls.bias')
            )
    onnx.save(model, str(tmp_path / 'y.onnx'))
    measured = Measured(source, network, images)
    assert measured.loss(source) == 0
    import onnxruntime

    model.graph.output.append(onnx.ValueInfoProto(name='g'))  # the head's own outputs
    session = onnxruntime.InferenceSession(model.SerializeToString())
    spread = np.stack([session.run(['g'], {'images': image})[0] for image in images]).std()
    assert measured.loss(tmp_path / 'y.onnx') == pytest.approx(0.1 / spread / 2, rel=1e-3)
    assert 0 < measured.latency_ms(source) < 1e3


def detections(*rows):
    """(x1, score, label) each."""
    dets = np.float32([[[x, 0, x + 10, 10, score] for x, score, _ in rows]])
    return dets, np.int64([[label for *_, label in rows]])


@pytest.mark.parametrize(
    ('rows', 'share'),
    [
        ([(0, 0.6, 0), (50, 0.4, 1)], 0),
        ([(50, 0.4, 1), (0, 0.6, 0)], 0),
        ([(1, 0.6, 0), (50, 0.4, 1), (90, 0.9, 1)], 0),  # more is not worse
        ([(0, 0.6, 0), (50, 0.4, 0)], 0.4),  # another label
        ([(0, 0.6, 0), (56, 0.4, 1)], 0.4),  # overlap 4 of 16
        ([(0, 0.3, 0), (50, 0.4, 1)], 0.3),  # half of its score
        ([(0, 0.6, -1), (50, 0.4, -1)], 1),
    ],
)
def test_share_of_the_detections_that_change(rows, share):
    expected = detections((0, 0.6, 0), (50, 0.4, 1))
    assert changed(expected, detections(*rows)) == pytest.approx(share, abs=1e-6)


def test_candidates_count_with_their_best_label():
    boxes = np.float32([[[0, 0, 10, 10], [50, 0, 60, 10]]])
    scores = np.float32([[[0.6, 0.1], [0.2, 0.4]]])
    assert changed((boxes, scores), (boxes, scores)) == 0
    assert changed((boxes, scores), (boxes, scores[..., ::-1])) == pytest.approx(1)


def test_boxes_without_area_and_no_detections():
    point = np.float32([[[5, 5, 5, 5, 0.5]]]), np.int64([[0]])
    none = np.zeros((1, 0, 5), np.float32), np.zeros((1, 0), np.int64)
    assert changed(point, point) == 0
    assert changed(point, none) == 1 and changed(none, point) == 0
