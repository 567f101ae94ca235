"""torch's two exporters where they differ: at a position whose channels are all zero."""

import numpy as np
import pytest
import torch
from mmdet.models.necks.ssd_neck import L2Norm
from torch import nn

from mmdet_lcp.export.writer import write_onnx

REASON = 'the extra `export` is not installed'
onnx = pytest.importorskip('onnx', reason=REASON)
onnxruntime = pytest.importorskip('onnxruntime', reason=REASON)


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = L2Norm(4)
        nn.init.constant_(self.norm.weight, 20)

    def forward(self, images):
        return (self.norm(images),)


@pytest.fixture
def images() -> torch.Tensor:
    values = torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    values[:, :, 1, 1] = 0
    return values


def by_hand(images: torch.Tensor) -> np.ndarray:
    values = images.numpy().astype(np.float64)
    return 20 * values / (np.sqrt((values**2).sum(1, keepdims=True)) + 1e-10)


def run(path, images) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, {session.get_inputs()[0].name: images.numpy()})[0]


def test_that_of_this_package(images, tmp_path):
    write_onnx(Norm().eval(), images, tmp_path / 'x.onnx', ['y'], 17, {}, 'Norm')
    assert np.abs(run(tmp_path / 'x.onnx', images) - by_hand(images)).max() < 1e-4


def test_the_newer_one_without_its_optimiser(images, tmp_path):
    """Both compute the same then. With it, the small addend may be gone: see `writer`."""
    pytest.importorskip('onnxscript', reason='the newer exporter is not installed')
    path = tmp_path / 'x.onnx'
    torch.onnx.export(Norm().eval(), (images,), str(path), dynamo=True, optimize=False)
    assert np.abs(run(path, images) - by_hand(images)).max() < 1e-4
