"""A decoded file in two: the network for the NPU, and what makes boxes of its maps for the CPU.

Boxes in pixels need more than eight or sixteen bits, and an NPU that works on maps of channels is
bad at rows of four numbers: of an SSD of 1.2 M parameters the whole decoded file became 39 MiB in
float16 and boxes moved by up to 1.9 pixels (rknn-toolkit2 2.5.0); the network alone is 1.4 MiB.
"""

import os
from pathlib import Path
from typing import Any

from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.needs import needed
from mmdet_lcp_runtime.rknn.pools import in_steps

LAYERS = ('Conv', 'ConvTranspose', 'Gemm')  # what a network ends with


def halve(model: str | os.PathLike, network: Path, decoding: Path) -> list[str]:
    """Cut behind the last layers, and write large pools as `in_steps` does.

    Args:
        model: an ONNX file.
        network: where the part up to them is written.
        decoding: where the rest is written.

    Returns:
        Names of the network's outputs, which are the inputs of the rest.

    Raises:
        DetectionError: there are no layers, or nothing behind them.
    """
    onnx = needed('onnx')
    whole = onnx.load(str(model))
    nodes = whole.graph.node
    consumers: dict[str, list[int]] = {}
    for number, node in enumerate(nodes):
        for name in node.input:
            consumers.setdefault(name, []).append(number)
    before = [False] * len(nodes)  # a layer, or one follows
    for number in reversed(range(len(nodes))):  # an ONNX graph is in the order of computation
        node = nodes[number]
        behind = [n for name in node.output for n in consumers.get(name, ())]
        before[number] = node.op_type in LAYERS or any(before[n] for n in behind)
    fixed = {value.name for value in whole.graph.initializer}
    fixed |= {name for node in nodes if node.op_type == 'Constant' for name in node.output}
    cut = [
        name
        for number, node in enumerate(nodes)
        if before[number]
        for name in node.output
        if name not in fixed and any(not before[n] for n in consumers.get(name, ()))
    ]
    if not cut:
        raise DetectionError(f'{model}: has no layers in front of its boxes and scores')
    whole = onnx.shape_inference.infer_shapes(whole)
    in_steps(whole, _sizes(whole))
    parts = onnx.utils.Extractor(whole)
    images, results = (
        [each.name for each in own] for own in (whole.graph.input, whole.graph.output)
    )
    onnx.save(parts.extract_model(images, cut), str(network))
    onnx.save(parts.extract_model(cut, results), str(decoding))
    return cut


def _sizes(model: Any) -> dict[str, tuple[int, int]]:
    """Height and width of all maps."""
    found = {}
    for value in (*model.graph.value_info, *model.graph.input):
        shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        if len(shape) == 4:
            found[value.name] = (shape[2], shape[3])
    return found
