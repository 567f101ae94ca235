"""ONNX files by what is written in them, and computed by ONNX's own reference in NumPy."""

import numpy as np
import pytest
import torch
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.export import export_onnx
from mmdet_lcp.export.onnx_file import OPSET

onnx = pytest.importorskip('onnx', reason='the extra `export` is not installed')


class Nested(nn.Module):
    """Outputs in lists and dicts, as heads have them; one of them half the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, images, data_samples=None, mode='loss'):
        assert mode == 'tensor'
        x = self.norm(self.conv(images))
        return [x, x.relu()], {'small': x[:, :1, ::2, ::2], 'pair': (x + 1,)}


@pytest.fixture
def network() -> Nested:
    torch.manual_seed(0)
    network = Nested()
    nn.init.normal_(network.norm.running_mean)
    nn.init.uniform_(network.norm.running_var, 0.5, 2)
    return network.train()


def by_hand(network: Nested, images: np.ndarray) -> list[np.ndarray]:
    """Its outputs in NumPy, with the running statistics."""
    value = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    x = np.einsum('nchw,fc->nfhw', images, value['conv.weight'][:, :, 0, 0])
    mean, deviation = value['norm.running_mean'], np.sqrt(value['norm.running_var'] + 1e-5)
    scale, bias = value['norm.weight'] / deviation, value['norm.bias']
    x = (x + (value['conv.bias'] - mean)[:, None, None]) * scale[:, None, None]
    x = x + bias[:, None, None]
    return [x, np.maximum(x, 0), x[:, :1, ::2, ::2], x + 1]


def shape(info) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in info.type.tensor_type.shape.dim]


def test_inputs_and_outputs(network, tmp_path):
    """All but the channels may have any size."""
    export_onnx(network, (6, 8), tmp_path / 'x.onnx')
    model = onnx.load(str(tmp_path / 'x.onnx'))
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [('', OPSET)]
    (images,) = model.graph.input
    assert images.name == 'images' and shape(images) == ['n', 3, 'height', 'width']
    assert images.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [out.name for out in model.graph.output] == [f'output_{n}' for n in range(4)]
    assert [shape(out)[0] for out in model.graph.output] == ['n'] * 4
    assert [path.name for path in tmp_path.iterdir()] == ['x.onnx']


def test_values(network, tmp_path):
    """In eval mode, at other sizes than it was traced with, the leaves in their order."""
    export_onnx(network, (6, 8), str(tmp_path / 'x.onnx'))
    reference = pytest.importorskip('onnx.reference').ReferenceEvaluator
    session = reference(str(tmp_path / 'x.onnx'))
    for size in ((1, 3, 6, 8), (2, 3, 4, 10), (3, 3, 1, 1)):
        images = np.random.default_rng(0).normal(size=size).astype(np.float32)
        found = session.run(None, dict(images=images))
        expected = by_hand(network, images)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_the_detector_is_as_it_was(network, tmp_path):
    network.norm.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export_onnx(network, (6, 8), tmp_path / 'x.onnx')
    assert [m.training for m in network.modules()] == [True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())


class Eigenvalues(Nested):
    """Has an operator that ONNX does not have."""

    def forward(self, images, data_samples=None, mode='loss'):
        return torch.linalg.eigvals(self.conv(images)[:, :1, :2, :2])


def test_what_cannot_be_exported(tmp_path):
    """An older file stays, and nothing else."""
    file = tmp_path / 'x.onnx'
    file.write_bytes(b'older')
    network = Eigenvalues().train()
    with pytest.raises(CompressionError, match=r'Eigenvalues cannot be exported: .*eigvals'):
        export_onnx(network, (6, 8), file)
    assert file.read_bytes() == b'older' and list(tmp_path.iterdir()) == [file]
    assert all(module.training for module in network.modules())


def test_two_stages(tmp_path):
    """Told before anything is run or written."""

    class TwoStage(Nested):
        roi_head = nn.Identity()

    network = TwoStage()
    network.forward = None
    message = 'TwoStage has two stages.*Single-stage detectors can be exported'
    with pytest.raises(CompressionError, match=message):
        export_onnx(network, (6, 8), tmp_path / 'x.onnx')
    assert list(tmp_path.iterdir()) == []
