"""mmcv: deformable convolution in ONNX."""

from __future__ import annotations

from typing import Any

import torch

from mmdet_lcp.errors import CompressionError

LEAST_OPSET = 19


def exported_deform_conv() -> None:
    """Write deformable convolutions as ONNX's ``DeformConv``, from opset 19 on.

    mmcv writes operators of its own domain, ``mmcv::MMCVDeformConv2d``, which no runtime has
    without mmcv's library. Below opset 19 ONNX has no such operator: CompressionError.
    """
    from mmcv.ops.deform_conv import DeformConv2dFunction
    from mmcv.ops.modulated_deform_conv import ModulatedDeformConv2dFunction

    if hasattr(DeformConv2dFunction.symbolic, '_lcp_fix'):
        return

    def node(g: Any, inputs: list, stride, padding, dilation, groups: int, offsets: int) -> Any:
        if g.opset < LEAST_OPSET:
            raise CompressionError(
                f'a deformable convolution needs opset {LEAST_OPSET}, this is {g.opset}'
            )
        sizes = inputs[1].type().sizes()  # None where a weight is computed: then it is read there
        more = {} if sizes is None else {'kernel_shape_i': sizes[2:]}
        return g.op(
            'DeformConv',
            *inputs,
            strides_i=_pair(stride),
            pads_i=_pair(padding) * 2,
            dilations_i=_pair(dilation),
            group_i=groups,
            offset_group_i=offsets,
            **more,
        )

    def symbolic(
        g, input, offset, weight, stride=1, padding=0, dilation=1, groups=1, deform_groups=1,
        bias=False, im2col_step=32,
    ):  # fmt: skip
        inputs = [input, weight, offset]
        return node(g, inputs, stride, padding, dilation, groups, deform_groups)

    def modulated(
        g, input, offset, mask, weight, bias=None, stride=1, padding=0, dilation=1, groups=1,
        deform_groups=1,
    ):  # fmt: skip
        if bias is None:
            bias = g.op('Constant', value_t=torch.zeros(weight.type().sizes()[0]))
        inputs = [input, weight, offset, bias, mask]
        return node(g, inputs, stride, padding, dilation, groups, deform_groups)

    symbolic._lcp_fix = 'mmcv DeformConv2dFunction.symbolic'
    modulated._lcp_fix = 'mmcv ModulatedDeformConv2dFunction.symbolic'
    DeformConv2dFunction.symbolic = staticmethod(symbolic)
    ModulatedDeformConv2dFunction.symbolic = staticmethod(modulated)


def _pair(value: Any) -> list[int]:
    return [int(value)] * 2 if isinstance(value, int) else [int(each) for each in value]
