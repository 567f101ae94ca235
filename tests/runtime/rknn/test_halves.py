"""A decoded file in two: together they compute what it computes."""

import numpy as np
import pytest
from made_onnx_files import colour_file, facts, network_file

from mmdet_lcp_runtime import DetectionError
from mmdet_lcp_runtime.rknn.halves import halve

onnx = pytest.importorskip('onnx')
ort = pytest.importorskip('onnxruntime')


def test_both_halves_compute_what_the_file_computes(tmp_path):
    """Cut behind the two convolutions that nothing but arithmetic follows."""
    whole = network_file(tmp_path / 'x.onnx')
    network, decoding = tmp_path / 'network.onnx', tmp_path / 'decoding.onnx'
    assert halve(whole, network, decoding) == ['g', 'h']
    kinds = [{node.op_type for node in onnx.load(part).graph.node} for part in (network, decoding)]
    assert kinds[0] == {'Cast', 'Transpose', 'Conv', 'Relu'}
    assert kinds[1] == {'Reshape', 'Transpose', 'Sigmoid', 'Mul', 'Add'}
    for part in (network, decoding):
        onnx.checker.check_model(str(part), full_check=True)
    images = np.random.default_rng(1).normal(size=(1, 3, 64, 64)).astype(np.float32)
    expected = ort.InferenceSession(whole).run(None, {'images': images})
    maps = ort.InferenceSession(network).run(None, {'images': images})
    found = ort.InferenceSession(decoding).run(None, dict(zip(['g', 'h'], maps, strict=True)))
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, other)


def test_a_file_without_layers_is_refused(tmp_path):
    made = colour_file(tmp_path / 'x.onnx', facts('decoded'))
    with pytest.raises(DetectionError, match=r'x\.onnx: has no layers'):
        halve(made, tmp_path / 'a.onnx', tmp_path / 'b.onnx')
