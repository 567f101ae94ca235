"""Chains of small max pools are the large one, borders included."""

import numpy as np
import pytest

from mmdet_lcp_runtime import DetectionError
from mmdet_lcp_runtime.rknn.pools import in_steps

onnx = pytest.importorskip('onnx')
ort = pytest.importorskip('onnxruntime')
helper = onnx.helper


def pool(side: int, **keys):
    """A model with one pool on a square map, of batch 1 and 2 channels."""
    node = helper.make_node('MaxPool', ['image'], ['out'], name='pool', **keys)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        'made',
        [value('image', onnx.TensorProto.FLOAT, [1, 2, side, side])],
        [value('out', onnx.TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


def window(size: int) -> dict:
    return dict(kernel_shape=[size] * 2, pads=[size // 2] * 4, strides=[1, 1])


def compute(model, image: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString())
    return session.run(None, {'image': image})[0]


@pytest.mark.parametrize(
    ('side', 'size', 'steps'),
    [
        (8, 13, [5, 5, 5]),
        (10, 13, [5, 5, 5]),
        (6, 9, [5, 5]),
        (6, 7, [5, 3]),
        (4, 5, [3, 3]),
        (8, 11, [5, 5, 3]),
    ],
)
def test_it_computes_the_same(side, size, steps):
    """Also where all values are negative: padding is no zero."""
    model = pool(side, **window(size))
    for sign in (1, -1):
        image = sign * np.random.default_rng(0).random((1, 2, side, side), np.float32)
        expected = compute(pool(side, **window(size)), image)
        if sign == 1:
            assert in_steps(model, {'image': (side, side)}) == 1
        np.testing.assert_array_equal(compute(model, image), expected)
    found = [helper.get_attribute_value(node.attribute[0]) for node in model.graph.node]
    assert found == [[step, step] for step in steps]


def test_windows_that_fit_or_see_all_of_the_map_stay():
    """Corner to corner: half of 9 is 4, and a map of 5 has 4 more pixels."""
    for side, size in ((13, 13), (5, 3), (5, 9), (2, 5), (1, 3)):
        model = pool(side, **window(size))
        before = model.SerializeToString()
        assert in_steps(model, {'image': (side, side)}) == 0
        assert model.SerializeToString() == before


@pytest.mark.parametrize(
    'keys',
    [
        dict(kernel_shape=[8, 8], strides=[8, 8]),
        dict(kernel_shape=[9, 9], strides=[2, 2], pads=[4] * 4),
        dict(kernel_shape=[9, 9], strides=[1, 1], pads=[3] * 4),
        dict(kernel_shape=[9, 3], strides=[1, 1], pads=[4, 1, 4, 1]),
        dict(kernel_shape=[9, 9], strides=[1, 1], auto_pad='SAME_UPPER'),
    ],
)
def test_others_are_refused_by_name(keys):
    with pytest.raises(DetectionError, match=r'pool: a max pool of window .* on a map of side 7'):
        in_steps(pool(7, **keys), {'image': (7, 7)})
