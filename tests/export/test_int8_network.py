"""What is network and what is not, of graphs made for it."""

import numpy as np
import onnx
import pytest
from made_onnx_files import FLOAT, INT64, helper, network_file, numpy_helper

from mmdet_lcp.export.int8_network import network_of


def test_a_decoded_detector(tmp_path):
    """The images' preparation and the boxes' arithmetic are no network."""
    found = network_of(onnx.load(str(network_file(tmp_path / 'x.onnx'))))
    names = ('stem', 'body', 'tail', 'cls', 'reg')
    assert list(found.layers) == [f'/{name}/Conv' for name in names]
    assert found.nodes == set(found.layers) | {f'/{name}/Relu' for name in names[:3]}
    assert found.heads == ['g', 'h'] and found.regions == set()
    assert found.last == ['/cls/Conv', '/reg/Conv']


@pytest.fixture
def graph():
    """Conv, TopK of its map, regions cut out, two products that share weights, a mean."""
    make = helper.make_node
    nodes = [
        make('Conv', ['images', 'k'], ['map'], name='conv'),
        make('Conv', ['map', 'k2'], ['rpn'], name='rpn'),
        make('Reshape', ['rpn', 'row'], ['flat'], name='flat'),
        make('TopK', ['flat', 'two'], ['best', 'where'], name='topk', axis=1),
        make('Cast', ['where', ], ['corner'], name='cast', to=FLOAT),
        make('Expand', ['corner', 'shape'], ['rois'], name='rois'),
        make('RoiAlign', ['map', 'rois', 'image'], ['cut'], name='align', output_height=1,
             output_width=1),
        make('Flatten', ['cut'], ['vector'], name='flatten'),
        make('MatMul', ['vector', 'w'], ['hidden'], name='fc'),
        make('Relu', ['hidden'], ['active'], name='relu'),
        make('MatMul', ['active', 'w'], ['scores'], name='fc_again'),
        make('Softmax', ['scores'], ['shares'], name='softmax'),
        make('MatMul', ['shares', 'mean'], ['out'], name='mean'),
    ]  # fmt: skip
    constants = dict(
        k=np.ones((4, 1, 3, 3), np.float32),
        k2=np.ones((1, 4, 1, 1), np.float32),
        row=np.int64([1, -1]),
        two=np.int64([4]),
        shape=np.int64([2, 4]),
        image=np.int64([0, 0]),
        w=np.ones((4, 4), np.float32),
        mean=np.ones((4, 1), np.float32),
    )
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        'x',
        [value('images', FLOAT, [1, 1, 8, 8])],
        [value('out', FLOAT, [2, 1]), value('where', INT64, [1, 4])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid('', 17)])


def test_a_detector_with_regions(graph):
    found = network_of(graph)
    assert found.layers == {'conv': ['conv'], 'rpn': ['rpn'], 'fc': ['fc', 'fc_again']}
    assert found.nodes == {'conv', 'rpn', 'fc', 'relu', 'fc_again', 'flatten'}
    assert found.heads == ['rpn', 'scores'] and found.regions == {'scores'}
    assert found.last == ['rpn', 'fc']  # the second product is a last one


def test_what_an_attention_reads_is_no_head():
    """Queries, keys and values are projections; the products of them stay in float."""
    make, generator = helper.make_node, np.random.default_rng(0)
    layers = {'q': 'x', 'k': 'x', 'v': 'x', 'out': 'mixed'}
    weights = [
        numpy_helper.from_array(generator.normal(size=(4, 4)).astype(np.float32), f'{name}.w')
        for name in layers
    ]
    nodes = [
        make('MatMul', [layers[name], f'{name}.w'], [name], name=name) for name in ('q', 'k', 'v')
    ] + [
        make('Transpose', ['k'], ['kt'], perm=[0, 2, 1], name='turn'),
        make('MatMul', ['q', 'kt'], ['scores'], name='product'),
        make('Softmax', ['scores'], ['shares'], name='softmax'),
        make('MatMul', ['shares', 'v'], ['mixed'], name='mix'),
        make('MatMul', ['mixed', 'out.w'], ['out'], name='out'),
    ]
    info = [
        helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 5, 4]) for n in ('x', 'out')
    ]
    graph = helper.make_graph(nodes, 'attention', info[:1], info[1:], weights)
    network = network_of(helper.make_model(graph))
    assert network.last == network.heads == ['out']
    assert network.nodes == {'q', 'k', 'v', 'out'}
