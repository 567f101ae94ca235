"""mmdet: boxes between two stages in ONNX."""

from __future__ import annotations

import functools


def exported_box_decoding() -> None:
    """Let detectors be exported to ONNX that decode boxes between two stages, as cascades do.

    For an export ``DeltaXYWHBBoxCoder`` takes ``onnx_delta2bbox``, which imports a module that
    mmdet 3 no longer has (``No module named 'mmdet.core'``). Boxes of one image, (N, 4k), are
    decoded by ``delta2bbox`` instead, as always; torch traces it.
    """
    from mmdet.models.task_modules.coders import delta_xywh_bbox_coder as coder

    decode = coder.onnx_delta2bbox
    if hasattr(decode, '_lcp_fix'):
        return

    @functools.wraps(decode)
    def fixed_decode(rois, deltas, *args, **kwargs):
        one_image = deltas.ndim == 2
        return (coder.delta2bbox if one_image else decode)(rois, deltas, *args, **kwargs)

    fixed_decode._lcp_fix = 'mmdet onnx_delta2bbox'
    coder.onnx_delta2bbox = fixed_decode
