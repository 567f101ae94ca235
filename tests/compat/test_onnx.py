"""Detectors compute in ONNX what they compute in PyTorch."""

import io

import pytest
import torch
from mmcv.ops import RoIAlign
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from torch import nn


def through_onnx(network: nn.Module, *inputs: torch.Tensor, opset: int = 17) -> list[torch.Tensor]:
    """What ONNX Runtime makes of a network."""
    runtime = pytest.importorskip('onnxruntime')
    buffer = io.BytesIO()
    torch.onnx.export(network.eval(), inputs, buffer, dynamo=False, opset_version=opset)
    session = runtime.InferenceSession(buffer.getvalue(), providers=['CPUExecutionProvider'])
    names = [node.name for node in session.get_inputs()]
    values = (value.numpy() for value in inputs)
    return [
        torch.from_numpy(out) for out in session.run(None, dict(zip(names, values, strict=True)))
    ]


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_roi_align_in_onnx(aligned, sampling_ratio):
    """Regions far below a cell too, which opset 10 enlarges."""
    maps = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rois = torch.tensor([[0.0, 3, 5, 7, 6], [1, 0, 0, 100, 90], [1, 50.5, 60, 80, 61]])
    network = RoIAlign((2, 3), 1 / 16, sampling_ratio, 'avg', aligned)
    found = through_onnx(network, maps, rois)[0]
    torch.testing.assert_close(found, network(maps, rois), rtol=1e-5, atol=1e-6)


def test_roi_align_below_opset_16():
    """mmcv's own form, which is right for regions of a cell and more."""
    maps = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rois = torch.tensor([[0.0, 3, 5, 70, 60]])
    network = RoIAlign((2, 3), 1 / 16, 2, 'avg', True)
    found = through_onnx(network, maps, rois, opset=12)[0]
    torch.testing.assert_close(found, network(maps, rois), rtol=1e-5, atol=1e-6)


def test_box_decoding_in_onnx():
    coder = DeltaXYWHBBoxCoder()

    class Decode(nn.Module):
        def forward(self, boxes, deltas):
            return coder.decode(boxes, deltas, max_shape=(60, 80))

    boxes = torch.tensor([[10.0, 10, 30, 50], [40, 20, 80, 60]])
    deltas = torch.tensor([[0.1, 0, 0, 0], [1, 0, 0, 0]])
    found = through_onnx(Decode(), boxes, deltas)[0]
    expected = torch.tensor([[12.0, 10, 32, 50], [80, 20, 80, 60]])  # the second is cut at 80
    torch.testing.assert_close(found, expected)
