"""Three things that ONNX files of detectors do and ncnn cannot, said in operators that it has.

- every second row or column (YOLOX's first layer): a convolution of each channel with 1 and 0;
- what passes a threshold, else 0: the value times a step, which is a steep ramp that is cut off;
- the best class, else 0 (YOLOX): likewise, a step at the maximum. Of equal classes both stay.

The results are the same numbers.
"""

from typing import Any

import numpy as np

from mmdet_lcp.export.needs import needed

STEEP = 1e30  # float32's differences of probabilities are above 1e-15


class _Graph:
    """A model's nodes, with what makes each tensor."""

    def __init__(self, model: Any) -> None:
        self.onnx = needed('onnx')
        self.graph = model.graph
        shaped = self.onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        self.shapes = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in (*shaped.value_info, *shaped.input)
        }
        self.constants = {each.name: each for each in self.graph.initializer}
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.count = 0

    def value(self, name: str) -> np.ndarray | None:
        """A constant, or None."""
        maker = self.makers.get(name)
        if name in self.constants:
            return self.onnx.numpy_helper.to_array(self.constants[name])
        if maker is not None and maker.op_type == 'Constant':
            return self.onnx.numpy_helper.to_array(maker.attribute[0].t)
        return None

    def constant(self, value: np.ndarray) -> str:
        """The name of a new one."""
        self.count += 1
        name = f'ncnn_constant_{self.count}'
        self.graph.initializer.append(self.onnx.numpy_helper.from_array(value, name))
        return name

    def nodes(self, *steps: tuple[str, list[str], str, dict]) -> list:
        """New nodes."""
        return [
            self.onnx.helper.make_node(kind, inputs, [output], name=f'ncnn_{output}', **keys)
            for kind, inputs, output, keys in steps
        ]

    def step(self, value: str, least: str, output: str, up: float) -> list:
        """Nodes that give 1 where ``STEEP * (value - least) + up`` is 1 or more, and 0 below 0."""
        low, high = (self.constant(np.float32(each)) for each in (0, 1))
        part = [f'{output}_ncnn{number}' for number in range(3)]
        return self.nodes(
            ('Sub', [value, least], part[0], {}),
            ('Mul', [part[0], self.constant(np.float32(STEEP))], part[1], {}),
            ('Add', [part[1], self.constant(np.float32(up))], part[2], {}),
            ('Clip', [part[2], low, high], output, {}),
        )


def for_ncnn(model: Any) -> Any:
    """A copy of an ONNX model without them; what it does not know it leaves."""
    onnx = needed('onnx')
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = _Graph(made)
    nodes = []
    for node in graph.graph.node:
        new = None
        if node.op_type == 'Slice':
            new = _every_second(graph, node)
        elif node.op_type == 'Where':
            new = _passing(graph, node)
        nodes += [node] if new is None else new
    used = {name for node in nodes for name in node.input}
    used |= {output.name for output in made.graph.output}
    while True:  # what only the replaced nodes read
        kept = [node for node in nodes if used & set(node.output)]
        if len(kept) == len(nodes):
            break
        nodes = kept
        used = {name for node in nodes for name in node.input}
        used |= {output.name for output in made.graph.output}
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def _every_second(graph: _Graph, node: Any) -> list | None:
    """A slice with step 2 of height or width."""
    if len(node.input) < 5:
        return None
    values = [graph.value(name) for name in node.input[1:5]]
    shape = graph.shapes.get(node.input[0], [])
    if any(value is None or value.size != 1 for value in values) or len(shape) != 4:
        return None
    start, end, axis, step = (int(value.item()) for value in values)
    if step != 2 or start not in (0, 1) or axis not in (2, 3):
        return None
    channels, size = shape[1], shape[axis]
    if not channels or not size or size % 2 or end < size:
        return None
    sides = [2 if side == axis else 1 for side in (2, 3)]
    kernel = np.zeros((channels, 1, *sides), np.float32)
    kernel.reshape(channels, 2)[:, start] = 1
    weight = graph.constant(kernel)
    return graph.nodes(
        (
            'Conv',
            [node.input[0], weight],
            node.output[0],
            {'group': channels, 'kernel_shape': sides, 'strides': sides},
        )
    )


def _passing(graph: _Graph, node: Any) -> list | None:
    """Values under a condition, else 0."""
    condition, value, other = node.input
    rest, asked = graph.value(other), graph.makers.get(condition)
    maker = graph.makers.get(other)
    if rest is None and maker is not None and maker.op_type == 'ConstantOfShape':
        filled = [each for each in maker.attribute if each.name == 'value']
        rest = graph.onnx.numpy_helper.to_array(filled[0].t) if filled else np.zeros(1)
    if rest is None or rest.any() or asked is None:
        return None
    mask = f'{node.output[0]}_ncnn'
    times = graph.nodes(('Mul', [value, mask], node.output[0], {}))
    if asked.op_type == 'Greater' and graph.value(asked.input[1]) is not None:
        return [*graph.step(asked.input[0], asked.input[1], mask, 0.0), *times]
    if asked.op_type == 'Equal':
        maker = next(
            (graph.makers[name] for name in asked.input if name in graph.makers
             and graph.makers[name].op_type == 'ArgMax'), None,
        )  # fmt: skip
        if maker is None:
            return None
        keys = {each.name: each.i for each in maker.attribute}
        if not keys.get('keepdims', 1):
            return None
        best = f'{mask}_best'
        most = graph.nodes(
            ('ReduceMax', [maker.input[0]], best, {'axes': [keys.get('axis', 0)], 'keepdims': 1})
        )
        return [*most, *graph.step(maker.input[0], best, mask, 1.0), *times]
    return None
