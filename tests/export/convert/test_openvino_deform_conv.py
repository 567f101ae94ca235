"""OpenVINO's deformable convolution against mmcv's, with all that ONNX's may have."""

import numpy as np
import onnx
import pytest
import torch
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from onnx import TensorProto, helper, numpy_helper

from mmdet_lcp.export.convert.openvino import read_onnx

openvino = pytest.importorskip('openvino')
KEYS = dict(in_channels=4, out_channels=6, kernel_size=3, stride=2, padding=2, dilation=2)


def onnx_file(path, layer, shapes: dict, groups: int):
    """Of the layer: its weight, and its bias if it has one; offsets and masks are inputs."""
    weights = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    names = ['map', 'weight', 'offset', 'bias' if 'bias' in weights else '', 'mask']
    node = helper.make_node(
        'DeformConv', names[: 5 if 'mask' in shapes else 3], ['y'], group=1,
        offset_group=groups, kernel_shape=[3, 3], strides=[2, 2], pads=[2] * 4, dilations=[2, 2],
    )  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        'x',
        [value(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [value('y', TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 19)]), str(path))


@pytest.mark.parametrize('groups', [1, 2])
@pytest.mark.parametrize('kind', ['plain', 'masked', 'masked, bias'])
def test_the_same_as_mmcvs(kind, groups, tmp_path):
    """Offsets reach far outside of the map, where zeros are."""
    torch.manual_seed(0)
    if kind == 'plain':
        layer = DeformConv2d(**KEYS, deform_groups=groups)
    else:
        layer = ModulatedDeformConv2d(**KEYS, deform_groups=groups, bias='bias' in kind)
        if 'bias' in kind:
            torch.nn.init.normal_(layer.bias)
    given = {'map': torch.randn(2, 4, 9, 9), 'offset': 5 * torch.randn(2, 18 * groups, 5, 5)}
    if kind != 'plain':
        given['mask'] = torch.rand(2, 9 * groups, 5, 5)
    onnx_file(tmp_path / 'x.onnx', layer, {n: list(v.shape) for n, v in given.items()}, groups)
    openvino.save_model(
        read_onnx(tmp_path / 'x.onnx'), str(tmp_path / 'x.xml'), compress_to_fp16=False
    )
    options = {'INFERENCE_PRECISION_HINT': 'f32'}
    model = openvino.Core().compile_model(str(tmp_path / 'x.xml'), 'CPU', options)
    found = model({name: value.numpy() for name, value in given.items()})[0]
    with torch.no_grad():
        expected = layer(*given.values()).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1
