"""Which nodes of an ONNX graph are the network, and which prepare images or choose boxes.

Only the network may become integers: layers with weights, and what lies between two of them. Boxes
in eight bits would be off by pixels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmdet_lcp.export.needs import needed

LAYERS = ('Conv', 'ConvTranspose', 'Gemm', 'MatMul')
# Between two layers, features pass through these; regions and candidates are chosen by others.
FEATURES = {
    'Add', 'AveragePool', 'BatchNormalization', 'Clip', 'Concat', 'DepthToSpace', 'Div', 'Dropout',
    'Elu', 'Erf', 'Exp', 'Flatten', 'Gelu', 'GlobalAveragePool', 'GlobalMaxPool',
    'GroupNormalization', 'HardSigmoid', 'HardSwish', 'Identity', 'InstanceNormalization',
    'LayerNormalization', 'LeakyRelu', 'MaxPool', 'Mish', 'Mul', 'PRelu', 'Pad', 'Pow',
    'ReduceMean', 'ReduceSum', 'Relu', 'Reshape', 'Resize', 'Sigmoid', 'Slice', 'Softmax',
    'Softplus', 'SpaceToDepth', 'Split', 'Sqrt', 'Squeeze', 'Sub', 'Tanh', 'Transpose',
    'Unsqueeze', 'Upsample',
}  # fmt: skip
CHOOSING = {'TopK', 'NonMaxSuppression', 'NonZero', 'RoiAlign'}


@dataclass
class Network:
    """Of a graph whose nodes all have names.

    Attributes:
        layers: nodes by layer: those that share a weight are one; in order.
        nodes: names of all nodes of the network.
        heads: tensors that the last layers give, in order; what comes behind is no network.
        last: those layers.
        regions: those of `heads` that depend on regions which the graph has chosen itself.
    """

    layers: dict[str, list[str]]
    nodes: set[str]
    heads: list[str]
    last: list[str]
    regions: set[str]


def network_of(model: Any) -> Network:
    """Find the network of an ONNX model."""
    to_array = needed('onnx').numpy_helper.to_array
    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == 'Constant' and node.attribute[0].name == 'value':
            weights[node.output[0]] = node.attribute[0].t
    layers: dict[str, list] = {}
    for node in graph.node:
        if node.op_type in LAYERS and len(node.input) > 1 and node.input[1] in weights:
            shape = np.shape(to_array(weights[node.input[1]]))
            # a product with one column is the mean of a distribution, not a layer
            if node.op_type != 'MatMul' or (len(shape) == 2 and shape[1] > 1):
                layers.setdefault(node.input[1], []).append(node)
    found = [node for nodes in layers.values() for node in nodes]
    names = {node.name for node in found}
    between, inner, passed = set(), set(), set()
    for layer in found:
        stack = [(layer.input[0], between)]
        while stack:
            tensor, seen = stack.pop()
            node = makers.get(tensor)
            if node is None or node.name in seen:
                continue
            if node.name in names:
                inner.add(node.name)
            elif node.op_type in FEATURES:
                seen.add(node.name)
                stack += [(name, seen) for name in node.input]
            elif node.op_type == 'MatMul':  # of attention: it stays, and so does what it reads
                passed.add(node.name)
                stack += [(name, passed) for name in node.input]
    behind, chosen = _downstream(graph, names), _downstream(graph, set(), CHOOSING)
    heads = [
        node.output[0] for node in graph.node if node.name in names and node.name not in inner
    ]
    return Network(
        {nodes[0].name: [node.name for node in nodes] for nodes in layers.values()},
        names | (between & behind),
        heads,
        [nodes[0].name for nodes in layers.values() if any(n.name not in inner for n in nodes)],
        {name for name in heads if makers[name].name in chosen},
    )


def _downstream(graph: Any, names: set[str], kinds: set[str] = frozenset()) -> set[str]:
    """Nodes that depend on some nodes, by name or by operator; those too."""
    tensors, found = set(), set()
    for node in graph.node:  # in order: what makes a tensor comes before what reads it
        if node.name in names or node.op_type in kinds or tensors & set(node.input):
            found.add(node.name)
            tensors |= set(node.output)
    return found
