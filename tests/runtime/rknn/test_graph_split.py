"""A decoded file in two: together they compute what it computes."""

import numpy as np
import pytest
from made_onnx_files import colour_file, facts, network_file

from mmdet_lcp_runtime import DetectionError
from mmdet_lcp_runtime.rknn.graph_split import split_graph

onnx = pytest.importorskip('onnx')
ort = pytest.importorskip('onnxruntime')


def test_both_halves_compute_what_the_file_computes(tmp_path):
    """Cut behind the two convolutions that nothing but arithmetic follows."""
    whole = network_file(tmp_path / 'x.onnx')
    network, decoding = tmp_path / 'network.onnx', tmp_path / 'decoding.onnx'
    assert split_graph(whole, network, decoding) == ['g', 'h']
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
        split_graph(made, tmp_path / 'a.onnx', tmp_path / 'b.onnx')


FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def graph(tmp_path, nodes, results: dict, constants=()):
    """A file of nodes on ``images`` (1, 2, 4, 4) and a 1x1 convolution's ``weight``."""
    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    weight = np.arange(4, dtype=np.float32).reshape(2, 2, 1, 1)
    made = onnx.helper.make_graph(
        [make(kind, given.split(), out.split(), **keys) for kind, given, out, keys in nodes],
        'made',
        [value('images', FLOAT, [1, 2, 4, 4])],
        [value(name, FLOAT, shape) for name, shape in results.items()],
        [onnx.numpy_helper.from_array(weight, 'weight'), *constants],
    )
    opset = [onnx.helper.make_opsetid('', 17)]
    model = onnx.helper.make_model(made, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(tmp_path / 'x.onnx'))
    return tmp_path / 'x.onnx'


def same(tmp_path, whole) -> list[str]:
    """Both halves compute what the file computes; returns the cut."""
    parts = tmp_path / 'network.onnx', tmp_path / 'decoding.onnx'
    cut = split_graph(whole, *parts)
    images = np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32)
    expected = ort.InferenceSession(whole).run(None, {'images': images})
    maps = ort.InferenceSession(parts[0]).run(cut, {'images': images})
    found = ort.InferenceSession(parts[1]).run(None, dict(zip(cut, maps, strict=True)))
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, other)
    return cut


MAP = [1, 2, 4, 4]


def test_a_map_that_both_halves_need_and_constants_in_the_nodes(tmp_path):
    two = onnx.numpy_helper.from_array(np.float32(2))
    nodes = [
        ('Constant', '', 'two', dict(value=two)),
        ('Conv', 'images weight', 'a', {}),
        ('Mul', 'a two', 'b', {}),
        ('Conv', 'b weight', 'c', {}),
        ('Add', 'b c', 'boxes', {}),
        ('Mul', 'c two', 'scores', {}),
    ]
    whole = graph(tmp_path, nodes, dict(boxes=MAP, scores=MAP))
    assert same(tmp_path, whole) == ['b', 'c']


def test_an_output_that_is_a_map(tmp_path):
    nodes = [('Conv', 'images weight', 'boxes', {}), ('Sigmoid', 'boxes', 'scores', {})]
    whole = graph(tmp_path, nodes, dict(boxes=MAP, scores=MAP))
    assert same(tmp_path, whole) == ['boxes']
    nodes = [('Conv', 'images weight', 'boxes', {}), ('Conv', 'boxes weight', 'scores', {})]
    whole = graph(tmp_path, nodes, dict(boxes=MAP, scores=MAP))
    assert same(tmp_path, whole) == ['boxes', 'scores']


def test_boxes_that_need_the_image_are_refused(tmp_path):
    nodes = [('Conv', 'images weight', 'a', {}), ('Add', 'a images', 'boxes', {})]
    whole = graph(tmp_path, nodes, dict(boxes=MAP))
    with pytest.raises(DetectionError, match='need more than the maps'):
        split_graph(whole, tmp_path / 'a.onnx', tmp_path / 'b.onnx')


def test_whole_numbers_between_the_halves_are_refused(tmp_path):
    nodes = [
        ('Shape', 'images', 'shape', {}),
        ('Reshape', 'images shape', 'a', {}),
        ('Conv', 'a weight', 'b', {}),
        ('Reshape', 'b shape', 'boxes', {}),
    ]
    whole = graph(tmp_path, nodes, dict(boxes=MAP))
    with pytest.raises(DetectionError, match='need more than the maps'):
        split_graph(whole, tmp_path / 'a.onnx', tmp_path / 'b.onnx')


def test_a_file_in_eight_bits_is_refused(tmp_path):
    constants = [onnx.numpy_helper.from_array(np.float32(0.1), 'scale')]
    nodes = [
        ('QuantizeLinear', 'images scale', 'q', {}),
        ('DequantizeLinear', 'q scale', 'd', {}),
        ('Conv', 'd weight', 'boxes', {}),
    ]
    whole = graph(tmp_path, nodes, dict(boxes=MAP), constants)
    with pytest.raises(DetectionError, match=r'eight bits .*give the float file'):
        split_graph(whole, tmp_path / 'a.onnx', tmp_path / 'b.onnx')


def test_two_stages_are_refused(tmp_path):
    constants = [
        onnx.numpy_helper.from_array(np.zeros((1, 4), np.float32), 'rois'),
        onnx.numpy_helper.from_array(np.zeros(1, np.int64), 'batch'),
    ]
    nodes = [
        ('RoiAlign', 'images rois batch', 'a', dict(output_height=4, output_width=4)),
        ('Conv', 'a weight', 'boxes', {}),
    ]
    whole = graph(tmp_path, nodes, dict(boxes=MAP), constants)
    with pytest.raises(DetectionError, match='has RoiAlign in front of its last layers'):
        split_graph(whole, tmp_path / 'a.onnx', tmp_path / 'b.onnx')
