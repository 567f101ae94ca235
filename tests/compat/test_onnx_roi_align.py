"""RoIAlign's node in ONNX, and what it computes on a plane, where a bin's mean is known."""

import io

import numpy as np
import pytest
import torch
from mmcv.ops import RoIAlign
from mmcv.ops.roi_align import RoIAlignFunction

from mmdet_lcp import CompressionError
from mmdet_lcp.compat.onnx_roi_align import exported_roi_align

REASON = 'the extra `export` is not installed'
onnx = pytest.importorskip('onnx', reason=REASON)
SCALE, BINS = 0.25, (2, 3)
# Of image 1, then of image 0: one of many cells, and one far below a cell.
ROIS = torch.tensor([[1.0, 8, 12, 56, 44], [0, 21, 30, 22, 31.5]])


def exported(opset: int, aligned: bool, sampling_ratio: int = 2, pool_mode: str = 'avg'):
    buffer = io.BytesIO()
    torch.onnx.export(
        RoIAlign(BINS, SCALE, sampling_ratio, pool_mode, aligned).eval(),
        (torch.zeros(2, 3, 16, 20), ROIS),
        buffer,
        input_names=['maps', 'rois'],
        dynamo=False,
        opset_version=opset,
    )
    return onnx.load_from_string(buffer.getvalue())


def attributes(model) -> dict:
    (node,) = (node for node in model.graph.node if node.op_type == 'RoiAlign')
    found = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    return {key: v.decode() if isinstance(v, bytes) else v for key, v in found.items()}


@pytest.mark.parametrize(('aligned', 'mode'), [(True, 'half_pixel'), (False, 'output_half_pixel')])
@pytest.mark.parametrize(('ratio', 'written'), [(2, 2), (0, 0), (-1, 0)])  # 0: as many as fit
def test_the_node(aligned, mode, ratio, written):
    found = attributes(exported(16, aligned, ratio))
    assert found == dict(
        coordinate_transformation_mode=mode,
        mode='avg',
        output_height=2,
        output_width=3,
        sampling_ratio=written,
        spatial_scale=0.25,
    )


@pytest.mark.parametrize('opset', [12, 16])
def test_the_maximum_is_refused(opset):
    with pytest.raises(CompressionError, match="pool_mode='max' has other values in ONNX Runtime"):
        exported(opset, True, pool_mode='max')


def test_below_opset_16_it_is_mmcvs():
    """Which subtracts half a cell from the regions itself."""
    model = exported(12, True)
    assert 'coordinate_transformation_mode' not in attributes(model)
    assert 'Sub' in [node.op_type for node in model.graph.node]
    assert 'Sub' not in [node.op_type for node in exported(16, True).graph.node]


@pytest.mark.parametrize('aligned', [True, False])
def test_values_on_planes(aligned):
    """Interpolation is exact there, and samples lie evenly around the middle of their bin.

    By mmcv's definition (https://arxiv.org/abs/1703.06870, and half a cell of shift with
    ``aligned``), where a region below a cell is one cell large unless aligned.
    """
    runtime = pytest.importorskip('onnxruntime', reason=REASON)
    rows, columns = np.mgrid[:16, :20].astype(np.float32)
    planes = [(1, 2, 3), (-4, 0.5, -2), (0, -1, 0.25)]  # constant, per row, per column
    image = np.stack([a + b * rows + c * columns for a, b, c in planes])
    maps = np.stack([image, 10 + 2 * image])

    expected = np.empty((2, 3, *BINS))
    for n, (number, x1, y1, x2, y2) in enumerate(ROIS.numpy()):
        left, top = (SCALE * v - 0.5 * aligned for v in (x1, y1))
        width, height = SCALE * (x2 - x1), SCALE * (y2 - y1)
        if not aligned:
            width, height = max(width, 1), max(height, 1)
        y = (top + (np.arange(2) + 0.5) / 2 * height)[:, None]
        x = (left + (np.arange(3) + 0.5) / 3 * width)[None]
        plane = np.stack([a + b * y + c * x for a, b, c in planes])
        expected[n] = 10 + 2 * plane if number else plane

    content = exported(16, aligned).SerializeToString()
    session = runtime.InferenceSession(content, providers=['CPUExecutionProvider'])
    (found,) = session.run(None, dict(maps=maps, rois=ROIS.numpy()))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_applied_twice_it_is_applied_once():
    before = RoIAlignFunction.symbolic
    exported_roi_align()
    assert RoIAlignFunction.symbolic is before
    assert before.__module__ == 'mmdet_lcp.compat.onnx_roi_align'
