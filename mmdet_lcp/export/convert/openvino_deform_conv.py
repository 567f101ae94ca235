"""ONNX's deformable convolution for OpenVINO: its reader has no rule for it, its engine has one.

OpenVINO's own operator 8 computes the same, zeros outside of the map included. What is saved holds
that operator, so that running it needs nothing more.
"""

from typing import Any

from mmdet_lcp.export.needs import needed


def extension() -> Any:
    """What `openvino.convert_model` takes as ``extension``.

    Raises:
        CompressionError: OpenVINO is not installed.
    """
    frontend = needed('openvino.frontend.onnx', 'openvino')
    return frontend.ConversionExtension('DeformConv', _converted)


def _converted(node: Any) -> list:
    """``DeformConv(map, weight, offset, bias, mask)``; the last two may be missing."""
    operators = needed('openvino.opset15', 'openvino')
    inputs = [node.get_input(number) for number in range(node.get_input_size())]
    there = [each if _given(each) else None for each in inputs] + [None] * (5 - len(inputs))
    maps, weight, offset, bias, mask = there
    strides, pads, dilations = (
        [int(value) for value in node.get_attribute(name, default)]
        for name, default in (('strides', [1, 1]), ('pads', [0] * 4), ('dilations', [1, 1]))
    )
    found = operators.deformable_convolution(
        maps, offset, weight, strides, pads[:2], pads[2:], dilations,
        mask=mask,
        auto_pad='EXPLICIT',
        group=int(node.get_attribute('group', 1)),
        deformable_group=int(node.get_attribute('offset_group', 1)),
        bilinear_interpolation_pad=True,
    )  # fmt: skip
    if bias is not None:
        row = operators.constant([1, -1, 1, 1], dtype='int64')
        found = operators.add(found, operators.reshape(bias, row, special_zero=False))
    return found.outputs()


def _given(value: Any) -> bool:
    """An input that is left out has an empty name in ONNX and a node of this kind here."""
    return value.get_node().get_type_name() != 'NullNode'
