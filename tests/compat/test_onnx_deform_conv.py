"""Deformable convolutions in ONNX against mmcv's own operators."""

import io

import pytest
import torch
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.compat.onnx_deform_conv import exported_deform_conv

pytest.importorskip('onnx', reason='the extra `export` is not installed')
onnxruntime = pytest.importorskip('onnxruntime', reason='the extra `export` is not installed')

KEYS = dict(stride=2, padding=2, dilation=2, groups=2, deform_groups=2)


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = DeformConv2d(4, 6, 3, bias=False, **KEYS)

    def forward(self, images, offset, mask):
        return self.conv(images, offset)


class Modulated(nn.Module):
    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.conv = ModulatedDeformConv2d(4, 6, 3, bias=bias, **KEYS)

    def forward(self, images, offset, mask):
        return self.conv(images, offset, mask)


def inputs() -> tuple[torch.Tensor, ...]:
    """Offsets of several cells, across the border, too."""
    torch.manual_seed(0)
    return torch.randn(2, 4, 9, 7), 3 * torch.randn(2, 36, 5, 4), torch.rand(2, 18, 5, 4)


def written(network: nn.Module, opset: int) -> bytes:
    file = io.BytesIO()
    names = ['images', 'offset', 'mask']
    torch.onnx.export(
        network, inputs(), file, dynamo=False, opset_version=opset, input_names=names
    )
    return file.getvalue()


@pytest.mark.parametrize('make', [Plain, Modulated, lambda: Modulated(bias=False)])
def test_the_same_values(make):
    torch.manual_seed(1)
    network = make().eval()
    nn.init.normal_(network.conv.weight)
    session = onnxruntime.InferenceSession(written(network, 19))
    own = {each.name for each in session.get_inputs()}
    given = zip(('images', 'offset', 'mask'), inputs(), strict=True)
    (found,) = session.run(None, {name: value.numpy() for name, value in given if name in own})
    with torch.no_grad():
        expected = network(*inputs())
    assert expected.std() > 1
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-4)


def test_below_opset_19():
    with pytest.raises(CompressionError, match='needs opset 19, this is 18'):
        written(Plain().eval(), 18)


def test_applied_twice():
    from mmcv.ops.deform_conv import DeformConv2dFunction

    before = DeformConv2dFunction.symbolic
    exported_deform_conv()
    assert DeformConv2dFunction.symbolic is before
