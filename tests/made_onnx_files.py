"""ONNX files of the exporter's form, made node by node: what they detect is known by hand.

`colour_file` tells colours: it cuts the image into squares of `CELL` pixels, each is a candidate
box, and its scores for the classes red, green and blue are the means of those channels, 0 to 1.
`network_file` has random convolutions, for what is done to weights.
"""

import json
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip('onnx', reason='the extra `export` is not installed')
helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT, INT64, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.UINT8

CELL = 8
CLASSES = ['red', 'green', 'blue']


def facts(form: str = 'end-to-end', **changed) -> dict:
    """What such a file says of itself; ``changed`` replaces keys, nested ones one by one."""
    found = {
        'format': 1,
        'form': form,
        'input': {
            'name': 'images',
            'layout': 'NHWC',
            'dtype': 'uint8',
            'height': 64,
            'width': 64,
            'channels': 3,
            'batch': None,
            'color': 'rgb',
            'resize': {'mode': 'letterbox', 'pad_value': [0, 0, 0], 'pad': 'bottom_right'},
            'mean': [0.0, 0.0, 0.0],
            'std': [255.0, 255.0, 255.0],
            'normalised_in_graph': True,
        },
        'outputs': ['dets', 'labels'] if form == 'end-to-end' else ['boxes', 'scores'],
        'classes': CLASSES,
        'thresholds': {
            'score': 0.4,
            'iou': 0.5,
            'nms_pre': 100,
            'max_per_img': 8,
            'class_agnostic': False,
            'nms': 'nms',
        },
        'detector': {'type': 'Colours', 'plan': None},
        'versions': {'mmdet_lcp': '0', 'onnx': onnx.__version__, 'opset': 17},
    }
    for key, value in changed.items():
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            found[key].update(value)
        else:
            found[key] = value
    return found


def _constant(name: str, value, dtype=None):
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def _images(about: dict):
    """The input, and the nodes that make float32 (N, C, H, W) called ``planes`` of it."""
    given = about['input']
    size = [given['height'], given['width']]
    channels = given['channels']
    nhwc = given['layout'] == 'NHWC'
    batch = given['batch'] or 'n'
    shape = [batch, *size, channels] if nhwc else [batch, channels, *size]
    kind = UINT8 if given['dtype'] == 'uint8' else FLOAT
    nodes = [helper.make_node('Cast', ['images'], ['cast'], to=FLOAT)]
    order = [0, 3, 1, 2] if nhwc else [0, 1, 2, 3]
    nodes.append(helper.make_node('Transpose', ['cast'], ['planes'], perm=order))
    return helper.make_tensor_value_info('images', kind, shape), nodes


def save(path, about, inputs, nodes, outputs, constants, opset=17) -> Path:
    """Check and write a graph with its facts."""
    graph = helper.make_graph(nodes, 'made', inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=8)
    if about is not None:
        helper.set_model_props(model, {'mmdet_lcp': json.dumps(about)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return Path(path)


def cells(height: int, width: int) -> np.ndarray:
    """Boxes (A, 4) of the squares, row by row."""
    y, x = np.mgrid[0:height:CELL, 0:width:CELL].reshape(2, -1)
    return np.stack([x, y, x + CELL, y + CELL], 1).astype(np.float32)


def colour_file(path, about: dict | None = None, told: bool = True) -> Path:
    """Write the teller of colours, in the form that ``about`` says.

    Args:
        path: where.
        about: by `facts`; colours are those of the channels in the order of ``color``.
        told: whether the file carries ``about``.
    """
    about = about or facts()
    given = about['input']
    image, nodes = _images(about)
    boxes = cells(given['height'], given['width'])
    make = helper.make_node
    scaled = 'scaled' if given['normalised_in_graph'] else 'planes'
    nodes += [make('Div', ['planes', 'std'], ['scaled'])] if scaled == 'scaled' else []
    nodes += [
        make('AveragePool', [scaled], ['means'], kernel_shape=[CELL] * 2, strides=[CELL] * 2),
        make('Reshape', ['means', 'flat'], ['columns']),
        make('Transpose', ['columns'], ['raw_scores'], perm=[0, 2, 1]),
        make('Gather', ['raw_scores', 'order'], ['scores'], axis=2),
        make('ReduceSum', ['scores', 'last'], ['sums'], keepdims=1),
        make('Mul', ['sums', 'nought'], ['noughts']),
        make('Add', ['noughts', 'cells'], ['boxes']),
    ]
    channels = given['channels']
    order = [2, 1, 0] if given['color'] == 'bgr' else list(range(channels))
    constants = [
        _constant('std', np.reshape(given['std'], (1, -1, 1, 1)), np.float32),
        _constant('flat', [0, channels, len(boxes)], np.int64),
        _constant('order', order, np.int64),
        _constant('last', [2], np.int64),
        _constant('nought', 0.0, np.float32),
        _constant('cells', boxes[None]),
    ]
    value = helper.make_tensor_value_info
    batch = given['batch'] or 'n'
    if about['form'] != 'end-to-end':
        outputs = [
            value('boxes', FLOAT, [batch, len(boxes), 4]),
            value('scores', FLOAT, [batch, len(boxes), channels]),
        ]
        return save(path, about if told else None, [image], nodes, outputs, constants)
    # the best class of each square, the best squares of the image
    keep = about['thresholds']['max_per_img']
    nodes += [
        make('ReduceMax', ['scores'], ['best'], axes=[2], keepdims=0),
        make('ArgMax', ['scores'], ['classes'], axis=2, keepdims=0),
        make('TopK', ['best', 'keep'], ['top', 'where'], axis=1),
        make('GatherElements', ['classes', 'where'], ['top_classes'], axis=1),
        make('Unsqueeze', ['where', 'last'], ['where3']),
        make('Tile', ['where3', 'four'], ['where4']),
        make('GatherElements', ['boxes', 'where4'], ['top_boxes'], axis=1),
        make('Greater', ['top', 'threshold'], ['is_one']),
        make('Where', ['is_one', 'top', 'nought'], ['top_scores']),
        make('Where', ['is_one', 'top_classes', 'none'], ['labels']),
        make('Unsqueeze', ['top_scores', 'last'], ['top_scores3']),
        make('Concat', ['top_boxes', 'top_scores3'], ['dets'], axis=2),
    ]
    constants += [
        _constant('keep', [keep], np.int64),
        _constant('four', [1, 1, 4], np.int64),
        _constant('threshold', about['thresholds']['score'], np.float32),
        _constant('none', -1, np.int64),
    ]
    outputs = [value('dets', FLOAT, [batch, keep, 5]), value('labels', INT64, [batch, keep])]
    return save(path, about if told else None, [image], nodes, outputs, constants)


def network_file(path, about: dict | None = None, seed: int = 0, width: int = 16) -> Path:
    """Write a small decoded detector with random weights: three convolutions, two heads."""
    about = about or facts(
        'decoded', input=dict(layout='NCHW', dtype='float32', normalised_in_graph=False, batch=1)
    )
    given = about['input']
    image, nodes = _images(about)
    generator = np.random.default_rng(seed)
    make, constants = helper.make_node, []

    def conv(name, source, target, inputs, outputs, stride=1, scale=1.0):
        fan = inputs * 9
        weight = generator.normal(size=(outputs, inputs, 3, 3)) * scale * (2 / fan) ** 0.5
        weight *= np.exp(generator.normal(size=(outputs, 1, 1, 1)) * 0.7)
        constants.append(_constant(f'{name}.weight', weight, np.float32))
        constants.append(
            _constant(f'{name}.bias', generator.normal(size=outputs) / 10, np.float32)
        )
        return make('Conv', [source, f'{name}.weight', f'{name}.bias'], [target],
                    name=f'/{name}/Conv', strides=[stride] * 2, pads=[1] * 4)  # fmt: skip

    rows, columns = given['height'] // CELL, given['width'] // CELL
    boxes = cells(given['height'], given['width'])
    start = 'planes'
    if given['normalised_in_graph']:
        nodes += [
            make('Sub', ['planes', 'mean'], ['centred']),
            make('Div', ['centred', 'std'], ['ready']),
        ]
        start = 'ready'
        for key in ('mean', 'std'):
            constants.append(_constant(key, np.reshape(given[key], (1, -1, 1, 1)), np.float32))
    nodes += [
        conv('stem', start, 'a', given['channels'], width, 2),
        make('Relu', ['a'], ['b'], name='/stem/Relu'),
        conv('body', 'b', 'c', width, 2 * width, 2),
        make('Relu', ['c'], ['d'], name='/body/Relu'),
        conv('tail', 'd', 'e', 2 * width, 2 * width, 2),
        make('Relu', ['e'], ['f'], name='/tail/Relu'),
        conv('cls', 'f', 'g', 2 * width, 3),
        conv('reg', 'f', 'h', 2 * width, 4, scale=0.3),
        make('Reshape', ['g', 'three'], ['g2'], name='/decode/Reshape'),
        make('Transpose', ['g2'], ['g3'], perm=[0, 2, 1], name='/decode/Transpose'),
        make('Sigmoid', ['g3'], ['scores'], name='/decode/Sigmoid'),
        make('Reshape', ['h', 'four'], ['h2'], name='/decode/Reshape_1'),
        make('Transpose', ['h2'], ['h3'], perm=[0, 2, 1], name='/decode/Transpose_1'),
        make('Mul', ['h3', 'cell'], ['h4'], name='/decode/Mul'),
        make('Add', ['h4', 'cells'], ['boxes'], name='/decode/Add'),
    ]
    batch = given['batch'] or -1
    constants += [
        _constant('three', [batch, 3, rows * columns], np.int64),
        _constant('four', [batch, 4, rows * columns], np.int64),
        _constant('cell', float(CELL), np.float32),
        _constant('cells', boxes[None]),
    ]
    value = helper.make_tensor_value_info
    outputs = [
        value('boxes', FLOAT, [given['batch'] or 'n', len(boxes), 4]),
        value('scores', FLOAT, [given['batch'] or 'n', len(boxes), 3]),
    ]
    return save(path, about, [image], nodes, outputs, constants)
