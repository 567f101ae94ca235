"""A decoded file split in two: the network for the NPU, and its decoding for the CPU.

Boxes in pixels need more than eight or sixteen bits, and an NPU that works on maps of channels is
bad at rows of four numbers: of an SSD of 1.2 M parameters the whole decoded file became 39 MiB in
float16 and boxes moved by up to 1.9 pixels (rknn-toolkit2 2.5.0); the network alone is 2.5 MiB.
"""

import os
from pathlib import Path
from typing import Any

from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.needs import needed
from mmdet_lcp_runtime.rknn.pools import replace_large_pools

LAYERS = ('Conv', 'ConvTranspose', 'Gemm')  # what a network ends with
OF_TWO_STAGES = ('NonMaxSuppression', 'RoiAlign')  # in a decoded file, whose own NMS is left out


def split_graph(model: str | os.PathLike, network: Path, decoding: Path) -> list[str]:
    """Split behind the last layers, and replace the pools that the toolkit computes wrongly.

    Args:
        model: an ONNX file.
        network: where the part up to them is written.
        decoding: where the rest is written.

    Returns:
        Names of the network's outputs, which are the inputs of the rest.

    Raises:
        DetectionError: there are no layers, the rest needs more than their maps, the detector has
            two stages, or the file is in eight bits already.
    """
    onnx = needed('onnx')
    whole = onnx.load(str(model))
    if any(node.op_type.endswith('QuantizeLinear') for node in whole.graph.node):
        raise DetectionError(
            f'{model}: is in eight bits for ONNX Runtime: give the float file, --int8 makes it '
            'eight bits here'
        )
    selecting = {node.op_type for node in whole.graph.node} & set(OF_TWO_STAGES)
    if selecting:
        raise DetectionError(
            f'{model}: has {" and ".join(sorted(selecting))} in front of its last layers, as '
            'detectors of two stages have: an NPU has none. Take a detector of one stage'
        )
    images = [value.name for value in whole.graph.input]
    results = [value.name for value in whole.graph.output]
    cut = _cut(whole.graph, results)
    if not cut:
        raise DetectionError(
            f'{model}: has no layers ({", ".join(LAYERS)}) in front of its boxes and scores'
        )
    whole = onnx.shape_inference.infer_shapes(whole)
    replace_large_pools(whole, _sizes(whole))
    parts = onnx.utils.Extractor(whole)
    first, rest = parts.extract_model(images, cut), parts.extract_model(cut, results)
    kinds = {value.type.tensor_type.elem_type for value in first.graph.output}
    if kinds != {onnx.TensorProto.FLOAT} or _lacks(rest.graph):
        raise DetectionError(
            f'{model}: its boxes need more than the maps of the last layers, the image itself, say'
        )
    onnx.save(first, str(network))
    onnx.save(rest, str(decoding))
    return cut


def _cut(graph: Any, results: list[str]) -> list[str]:
    """Values of layers, or of what layers follow, that something else needs too."""
    consumers: dict[str, list[int]] = {}
    for number, node in enumerate(graph.node):
        for name in node.input:
            consumers.setdefault(name, []).append(number)
    before = [False] * len(graph.node)
    for number in reversed(range(len(graph.node))):  # nodes are in the order of computation
        node = graph.node[number]
        behind = [n for name in node.output for n in consumers.get(name, ())]
        before[number] = node.op_type in LAYERS or any(before[n] for n in behind)
    return [
        name
        for number, node in enumerate(graph.node)
        if before[number] and node.op_type != 'Constant'
        for name in node.output
        if name in results or any(not before[n] for n in consumers.get(name, ()))
    ]


def _lacks(graph: Any) -> set[str]:
    """Values that its nodes take and nothing gives."""
    given = {value.name for value in (*graph.input, *graph.initializer)}
    given |= {name for node in graph.node for name in node.output}
    return {name for node in graph.node for name in node.input if name} - given


def _sizes(model: Any) -> dict[str, tuple[int, int]]:
    """Height and width of all maps."""
    found = {}
    for value in (*model.graph.value_info, *model.graph.input):
        shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        if len(shape) == 4:
            found[value.name] = (shape[2], shape[3])
    return found
