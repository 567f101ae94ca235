"""LiteRT is made from the detector's module, not from an ONNX file."""

import onnx
import pytest
import torch
from made_onnx_files import network_file
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.export.convert import convert, litert
from mmdet_lcp_runtime import Detector

from .engines import installed, painted


def test_litert_is_made_from_the_module(tmp_path):
    installed('litert')
    source = network_file(tmp_path / 'x.onnx')
    weights = {
        each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy())
        for each in onnx.load(str(source)).graph.initializer
    }

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in weights.items():
                self.register_buffer(name.replace('.', '_'), value)

        def conv(self, name, images, stride):
            weight, bias = (getattr(self, f'{name}_{part}') for part in ('weight', 'bias'))
            return torch.conv2d(images, weight, bias, stride, 1)

        def forward(self, images):
            for name in ('stem', 'body', 'tail'):
                images = self.conv(name, images, 2).relu()
            scores, boxes = (
                self.conv(name, images, 1).flatten(2).permute(0, 2, 1) for name in ('cls', 'reg')
            )
            return boxes * 8 + self.cells, scores.sigmoid()

    found = convert(source, 'litert', module=Network().eval())
    assert found.difference.box < 1e-3 and found.difference.score < 1e-5
    assert len(Detector(found.path, threads=1)(painted())) > 0


def test_without_the_module(tmp_path):
    with pytest.raises(CompressionError, match='from the detector, not from ONNX: pass `module`'):
        litert.write(tmp_path / 'x.onnx', tmp_path / 'x.tflite', {})


@pytest.mark.parametrize(
    ('form', 'batch', 'fits'),
    [('decoded', 1, True), ('decoded', 4, True), ('decoded', None, False), ('raw', 1, False)],
)
def test_what_it_takes(form, batch, fits):
    description = {'form': form, 'input': {'batch': batch}}
    if fits:
        litert.check(description)
        return
    with pytest.raises(CompressionError, match='--decoded --batch 1'):
        litert.check(description)
