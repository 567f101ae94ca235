"""Chains of small max pools are the large one, borders included."""

import numpy as np
import pytest

from mmdet_lcp_runtime import DetectionError
from mmdet_lcp_runtime.rknn.pools import replace_large_pools

onnx = pytest.importorskip('onnx')
ort = pytest.importorskip('onnxruntime')
helper = onnx.helper


def pool(side: int, wide: int | None = None, **keys):
    """A model with one pool on a map, square unless told, of batch 1 and 2 channels."""
    node = helper.make_node('MaxPool', ['image'], ['out'], name='pool', **keys)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        'made',
        [value('image', onnx.TensorProto.FLOAT, [1, 2, side, wide or side])],
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
            assert replace_large_pools(model, {'image': (side, side)}) == 1
        np.testing.assert_array_equal(compute(model, image), expected)
    found = [helper.get_attribute_value(node.attribute[0]) for node in model.graph.node]
    assert found == [[step, step] for step in steps]


def test_windows_that_fit_or_see_all_of_the_map_stay():
    """Corner to corner: half of 9 is 4, and a map of 5 has 4 more pixels."""
    for side, size in ((13, 13), (5, 3), (5, 9), (2, 5), (1, 3)):
        model = pool(side, **window(size))
        before = model.SerializeToString()
        assert replace_large_pools(model, {'image': (side, side)}) == 0
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
    with pytest.raises(DetectionError, match=r'pool: a max pool of .* on a map of \[7, 7\]'):
        replace_large_pools(pool(7, **keys), {'image': (7, 7)})


@pytest.mark.parametrize(
    ('size', 'side', 'replaced'),
    [
        ((6, 20), 7, True),
        ((20, 6), 7, True),
        ((10, 6), 13, True),
        ((2, 40), 5, False),
        ((4, 12), 9, False),
        ((6, 20), 13, False),
    ],
)
def test_each_axis_counts_by_itself(size, side, replaced):
    """As rknn-toolkit2 2.5.0 was seen to compute them: wrongly where they are replaced."""
    model = pool(*size, **window(side))
    image = np.random.default_rng(0).normal(size=(1, 2, *size)).astype(np.float32)
    expected = compute(model, image)
    assert replace_large_pools(model, {'image': size}) == replaced
    np.testing.assert_array_equal(compute(model, image), expected)


def test_a_map_of_unknown_size_is_refused():
    with pytest.raises(DetectionError, match='pool: the size of what this max pool takes'):
        replace_large_pools(pool(7, **window(5)), {})
