"""mmcv: RoIAlign in ONNX."""

from __future__ import annotations

import torch

from mmdet_lcp.errors import CompressionError


def exported_roi_align() -> None:
    """Let RoIAlign compute in ONNX what it computes in mmcv, from opset 16 on.

    mmcv writes the operator of opset 10, which enlarges regions below a cell of the map to one
    cell; mmcv's with ``aligned=True`` does not. Opset 16 has a mode for either; below it mmcv's
    own form stays. Of sample points ONNX Runtime takes the maximum in another way than mmcv, so
    ``pool_mode='max'`` is refused with a CompressionError when it is exported.
    """
    from mmcv.ops.roi_align import RoIAlignFunction

    below_16 = RoIAlignFunction.symbolic
    if hasattr(below_16, '_lcp_fix'):
        return

    def symbolic(g, input, rois, output_size, spatial_scale, sampling_ratio, pool_mode, aligned):
        if pool_mode != 'avg':
            raise CompressionError(
                f'RoIAlign with pool_mode={pool_mode!r} has other values in ONNX Runtime than in '
                "mmcv: only a detector with pool_mode='avg' can be exported"
            )
        if g.opset < 16:
            more = (output_size, spatial_scale, sampling_ratio, pool_mode, aligned)
            return below_16(g, input, rois, *more)

        def column(index: int | list[int]):
            which = g.op('Constant', value_t=torch.tensor(index))
            return g.op('Gather', rois, which, axis_i=1)

        return g.op(
            'RoiAlign',
            input,
            column([1, 2, 3, 4]),
            g.op('Cast', column(0), to_i=torch.onnx.TensorProtoDataType.INT64),
            output_height_i=output_size[0],
            output_width_i=output_size[1],
            spatial_scale_f=spatial_scale,
            sampling_ratio_i=max(0, sampling_ratio),
            mode_s=pool_mode,
            coordinate_transformation_mode_s='half_pixel' if aligned else 'output_half_pixel',
        )

    symbolic._lcp_fix = 'mmcv RoIAlignFunction.symbolic'
    RoIAlignFunction.symbolic = staticmethod(symbolic)
