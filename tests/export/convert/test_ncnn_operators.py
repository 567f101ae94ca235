"""Graphs said in other operators give the same numbers, in ONNX Runtime and in ncnn."""

import numpy as np
import onnx
import pytest
from made_onnx_files import FLOAT, helper, numpy_helper

from mmdet_lcp.export.convert.ncnn_operators import for_ncnn

runtime = pytest.importorskip('onnxruntime')
THRESHOLD = np.float32(0.3)


def model(nodes, constants, shape, output):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        'x',
        [value('images', FLOAT, shape)],
        [value('out', FLOAT, output)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def ran(made, images: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(made, full_check=True)
    session = runtime.InferenceSession(made.SerializeToString())
    return session.run(None, {'images': images})[0]


def operators(made) -> set:
    return {node.op_type for node in made.graph.node}


@pytest.mark.parametrize('row', [0, 1])
@pytest.mark.parametrize('column', [0, 1])
def test_every_second_row_and_column(row, column):
    nodes = [
        helper.make_node('Slice', ['images', 'row', 'end', 'two', 'step'], ['rows']),
        helper.make_node('Slice', ['rows', 'column', 'end', 'three', 'step'], ['out']),
    ]
    constants = dict(row=[row], column=[column], end=[2**63 - 1], two=[2], three=[3], step=[2])
    constants = {name: np.int64(value) for name, value in constants.items()}
    made = for_ncnn(model(nodes, constants, [1, 3, 6, 8], [1, 3, 3, 4]))
    images = np.random.default_rng(0).normal(size=(1, 3, 6, 8)).astype(np.float32)
    assert operators(made) == {'Conv'}
    np.testing.assert_array_equal(ran(made, images), images[:, :, row::2, column::2])


@pytest.mark.parametrize('zeros', ['constant', 'filled'])
def test_what_passes_a_threshold(zeros):
    """The threshold itself does not; the next number does."""
    nodes = [
        helper.make_node('Greater', ['images', 'threshold'], ['passes']),
        helper.make_node('Where', ['passes', 'images', 'zeros'], ['out']),
    ]
    constants = dict(threshold=THRESHOLD, zeros=np.zeros((2, 5), np.float32))
    if zeros == 'filled':
        del constants['zeros']
        nodes.insert(0, helper.make_node('Shape', ['images'], ['size']))
        nodes.insert(1, helper.make_node('ConstantOfShape', ['size'], ['zeros']))
    made = for_ncnn(model(nodes, constants, [2, 5], [2, 5]))
    near = [np.nextafter(THRESHOLD, np.float32(side)) for side in (0, 1)]
    images = np.float32([[0, THRESHOLD, *near, 1], [0.1, 0.2, 0.9, 0.31, 0.29]])
    expected = np.where(images > THRESHOLD, images, 0)
    assert not operators(made) & {'Greater', 'Where', 'ConstantOfShape', 'Shape'}
    np.testing.assert_array_equal(ran(made, images), expected)
    assert (expected != 0).sum() == 5 - 1  # the next number, 1, 0.9, 0.31


def test_the_best_class():
    nodes = [
        helper.make_node('ArgMax', ['images'], ['best'], axis=2, keepdims=1),
        helper.make_node('Equal', ['best', 'numbers'], ['is_best']),
        helper.make_node('Where', ['is_best', 'images', 'zeros'], ['out']),
    ]
    constants = dict(numbers=np.arange(4), zeros=np.zeros((1, 9, 4), np.float32))
    made = for_ncnn(model(nodes, constants, [1, 9, 4], [1, 9, 4]))
    images = np.random.default_rng(0).uniform(0, 1, (1, 9, 4)).astype(np.float32)
    assert not operators(made) & {'ArgMax', 'Equal', 'Where'}
    expected = np.where(images == images.max(2, keepdims=True), images, 0)
    np.testing.assert_array_equal(ran(made, images), expected)


def test_the_rest_is_left_alone():
    """A slice with step 1, an odd size, and a choice between two tensors."""
    nodes = [
        helper.make_node('Slice', ['images', 'nought', 'end', 'two', 'step'], ['odd']),
        helper.make_node('Slice', ['odd', 'nought', 'end', 'two', 'one'], ['same']),
        helper.make_node('Greater', ['same', 'threshold'], ['passes']),
        helper.make_node('Where', ['passes', 'same', 'odd'], ['out']),
    ]
    constants = dict(nought=[0], end=[2**63 - 1], two=[2], step=[2], one=[1])
    constants = {name: np.int64(value) for name, value in constants.items()}
    before = model(nodes, {**constants, 'threshold': THRESHOLD}, [1, 3, 5, 8], [1, 3, 3, 8])
    after = for_ncnn(before)
    assert [node.op_type for node in after.graph.node] == [n.op_type for n in before.graph.node]
