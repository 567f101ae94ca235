"""The choice among ways to quantise: by numbers that are set, and by measured ones."""

import json

import numpy as np
import onnx
import pytest
from made_onnx_files import colour_file, facts, helper, network_file, numpy_helper, save

from mmdet_lcp import CompressionError
from mmdet_lcp.export.int8 import Quantizer
from mmdet_lcp.export.int8_choice import Tried, best_scheme, choose_int8
from mmdet_lcp_runtime import Detector

pytest.importorskip('onnxruntime')


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """Widths that are no multiples of anything, as after pruning."""
    return network_file(tmp_path_factory.mktemp('made') / 'x.onnx', width=13)


@pytest.fixture(scope='module')
def of_tokens(tmp_path_factory):
    """Linear layers on rows of tokens, as transformers have; ONNX Runtime fuses them to others."""
    about = facts(
        'decoded', input=dict(layout='NCHW', dtype='float32', normalised_in_graph=False, batch=1)
    )
    generator, make = np.random.default_rng(0), helper.make_node

    def values(name, *shape):
        drawn = generator.normal(size=shape) / np.sqrt(shape[0])
        return numpy_helper.from_array(drawn.astype(np.float32), name)

    nodes = [
        make('Conv', ['images', 'stem'], ['a'], strides=[8, 8]),
        make('Reshape', ['a', 'shape'], ['b']),
        make('Transpose', ['b'], ['c'], perm=[0, 2, 1]),
    ]
    constants = [
        values('stem', 13, 3, 8, 8),
        numpy_helper.from_array(np.array([1, 13, 64], np.int64), 'shape'),
    ]
    layers = [('body', 'c', 'd', 7), ('cls', 'd', 'e', 3), ('reg', 'd', 'boxes', 4)]
    for name, source, target, width in layers:
        wide = 13 if name == 'body' else 7
        constants += [values(f'{name}.w', wide, width), values(f'{name}.b', width)]
        nodes += [
            make('MatMul', [source, f'{name}.w'], [f'{name}.product']),
            make('Add', [f'{name}.product', f'{name}.b'], [target]),
        ]
    nodes.append(make('Sigmoid', ['e'], ['scores']))
    info = helper.make_tensor_value_info
    image = info('images', onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    outputs = [
        info('boxes', onnx.TensorProto.FLOAT, [1, 64, 4]),
        info('scores', onnx.TensorProto.FLOAT, [1, 64, 3]),
    ]
    path = tmp_path_factory.mktemp('tokens') / 'x.onnx'
    return save(path, about, [image], nodes, outputs, constants)


@pytest.fixture(scope='module')
def images() -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    return [generator.normal(size=(1, 3, 64, 64)).astype(np.float32) for _ in range(3)]


@pytest.fixture(scope='module')
def chosen(source, images, tmp_path_factory):
    told: list[str] = []
    target = tmp_path_factory.mktemp('int8') / 'x.onnx'
    return choose_int8(source, target, images, log=told.append), target, told


def test_the_least_loss_is_written(chosen, source, images):
    """And what is measured is what the file computes."""
    choice, target, _ = chosen
    losses = {name: tried.loss for name, tried in choice.tried.items()}
    assert list(losses) == ['per-channel', 'per-tensor', 'per-channel, reduced range']
    assert choice.final.loss == losses[choice.scheme] <= 1.02 * min(losses.values())
    assert 0 < min(losses.values()) < max(losses.values()) < 0.2
    graph = onnx.load(str(target)).graph
    (scale,) = (each for each in graph.initializer if each.name == 'stem.weight_scale')
    assert len(scale.dims) == (choice.scheme != 'per-tensor')
    quantised = {node.input[0] for node in graph.node if node.op_type == 'QuantizeLinear'}
    assert not quantised & {'g3', 'h3', 'h4', 'scores', 'boxes'}  # no box in eight bits
    found = Detector(target)(np.full((64, 64, 3), 99, np.uint8))
    assert len(found) == len(Detector(source)(np.full((64, 64, 3), 99, np.uint8)))


def test_tensors_that_the_preparation_renames(of_tokens, images, tmp_path):
    """Losses are of the graph that is quantised, in which the heads have other names."""
    with Quantizer(of_tokens, images) as quantizer:
        there = {name for node in onnx.load(str(of_tokens)).graph.node for name in node.output}
        assert set(quantizer.network.heads) - there
    choice = choose_int8(of_tokens, tmp_path / 'x.onnx', images)
    assert 0 < choice.final.loss < 0.2


def test_log_and_description_say_why(chosen, source):
    choice, target, told = chosen
    (prop,) = [p for p in onnx.load(str(target)).metadata_props if p.key == 'mmdet_lcp']
    found = json.loads(prop.value)
    facts_ = found.pop('int8')
    (prop,) = [p for p in onnx.load(str(source)).metadata_props if p.key == 'mmdet_lcp']
    assert found == json.loads(prop.value)
    assert facts_['scheme'] == choice.scheme and facts_['cpu'] == choice.cpu
    assert facts_['why'] == choice.why and set(facts_['tried']) == set(choice.tried)
    assert told[0].startswith('int8 on this CPU (') and 'on another one' in told[0]
    assert any(line.startswith(f'chosen: {choice.scheme}, ') for line in told)


def test_by_loss():
    results = {'a': Tried(0.2, 1), 'b': Tried(0.1, 9), 'c': Tried(0.3, 1)}
    scheme, why = best_scheme(results)
    assert scheme == 'b' and 'loses least: 0.1000' in why and 'a 0.2000' in why
    results['a'] = Tried(0.1015, 1)
    assert best_scheme(results)[0] == 'a'  # as good, and faster


def test_by_a_metric():
    results = {'a': Tried(0.1, 1, 0.5), 'b': Tried(0.3, 9, 0.51), 'c': Tried(0.2, 1, 0.5095)}
    scheme, why = best_scheme(results)
    assert scheme == 'c' and 'metric 0.5095' in why and 'b 0.5100' in why
    assert best_scheme({'a': Tried(0.1, 1, 0.5), 'b': Tried(0.3, 9, 0.51)})[0] == 'b'


def test_the_metric_is_of_the_files(source, images, tmp_path):
    sizes = []

    def evaluate(path):
        sizes.append(path.stat().st_size)
        return float(len(sizes) == 2)

    choice = choose_int8(source, tmp_path / 'y.onnx', images, evaluate=evaluate)
    assert choice.scheme == 'per-tensor' and choice.final.metric == 1 and choice.float_metric == 0
    assert sizes[-1] == source.stat().st_size > max(sizes[:-1])


def test_what_loses_most_stays_in_float(tmp_path, images):
    """Of one head the weights for a channel that is always 0 are large: they set the scale."""
    path = network_file(tmp_path / 'x.onnx')
    model = onnx.load(str(path))
    for each in model.graph.initializer:
        value = onnx.numpy_helper.to_array(each).copy()
        if each.name in ('tail.weight', 'tail.bias'):
            value[0] = 0
        elif each.name == 'cls.weight':
            value[:, 0] *= 300
        each.CopyFrom(onnx.numpy_helper.from_array(value, each.name))
    onnx.save(model, str(path))
    whole = choose_int8(path, tmp_path / 'y.onnx', images)
    choice = choose_int8(path, tmp_path / 'z.onnx', images, keep='auto')
    assert list(choice.layers.values()) == sorted(choice.layers.values(), reverse=True)
    assert len(choice.layers) == 5
    assert choice.kept == list(choice.layers)[:1] == ['/cls/Conv']
    assert choice.final.loss < 0.9 * whole.final.loss
    names = {each.name for each in onnx.load(str(tmp_path / 'z.onnx')).graph.initializer}
    assert 'cls.weight' in names and not {'stem.weight', 'reg.weight'} & names


def test_auto_keeps_as_little_as_holds_the_metric(source, images, tmp_path):
    """The float file has 1, eight bits 0.5: the heads alone bring 0.9995, which is near enough."""

    def evaluate(path):
        if path == source:
            return 1.0
        names = {each.name for each in onnx.load(str(path)).graph.initializer}
        return 0.9995 if {'cls.weight', 'reg.weight'} <= names else 0.5

    choice = choose_int8(source, tmp_path / 'y.onnx', images, keep='auto', evaluate=evaluate)
    assert sorted(choice.kept) == ['/cls/Conv', '/reg/Conv'] and choice.final.metric == 0.9995
    names = {each.name for each in onnx.load(str(tmp_path / 'y.onnx')).graph.initializer}
    assert {'cls.weight', 'reg.weight'} <= names and not {'stem.weight', 'body.weight'} & names


def test_the_heads_are_kept_by_one_word(source, images, tmp_path):
    choice = choose_int8(source, tmp_path / 'y.onnx', images, keep='heads')
    assert sorted(choice.kept) == ['/cls/Conv', '/reg/Conv']
    names = {each.name for each in onnx.load(str(tmp_path / 'y.onnx')).graph.initializer}
    assert {'cls.weight', 'reg.weight'} <= names and not {'stem.weight', 'body.weight'} & names


def test_a_pattern_is_kept_too(source, images, tmp_path):
    choose_int8(source, tmp_path / 'y.onnx', images, keep='/(cls|reg)/')
    names = {each.name for each in onnx.load(str(tmp_path / 'y.onnx')).graph.initializer}
    assert {'cls.weight', 'reg.weight'} <= names and not {'stem.weight', 'body.weight'} & names


def test_a_file_without_layers(tmp_path):
    path = colour_file(tmp_path / 'x.onnx', facts('decoded'))
    with pytest.raises(CompressionError, match='no layer with weights'):
        choose_int8(path, tmp_path / 'y.onnx', [np.zeros((1, 64, 64, 3), np.uint8)])
    assert not (tmp_path / 'y.onnx').exists()
