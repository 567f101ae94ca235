"""What a kit holds, and what is refused before one is written."""

import gzip
import json
import sys

import onnx
import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.layer_kit import KitWriter
from mmdet_lcp.export.layer_kit.networks import Bench
from mmdet_lcp.export.layer_kit.write import Entry


def test_what_is_in_it(kit):
    manifest = json.loads((kit / 'manifest.json').read_text())
    assert manifest['runtime'] == 'onnxruntime' and manifest['what'] == 'test'
    named = {file for entry in manifest['entries'] for file in entry['files']}
    assert {path.name for path in kit.iterdir()} == named | {'manifest.json', 'measure.py'}
    # two widths, and what stands around them: 4 and 8 channels on 6x6, once each
    layers = [entry for entry in manifest['entries'] if 'layer' in entry]
    assert len(manifest['entries']) == len(layers) + 2 == 5
    first = layers[0]
    model = onnx.load_from_string(gzip.decompress((kit / first['files'][0]).read_bytes()))
    kinds = [node.op_type for node in model.graph.node if node.op_type != 'Identity']
    assert kinds == ['Conv', 'Conv', 'Relu', 'Conv']


def test_runtime(tmp_path):
    with pytest.raises(CompressionError, match=r"'onnxruntme'.*nearest is 'onnxruntime'"):
        KitWriter(tmp_path, 'onnxruntme')


@pytest.mark.parametrize(('runtime', 'extra'), [('ncnn', 'ncnn'), ('litert', 'litert')])
def test_a_converter_that_is_not_installed_names_its_extra(tmp_path, monkeypatch, runtime, extra):
    for name in ('ncnn', 'pnnx', 'litert_torch'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CompressionError, match=rf'mmdet_lcp\[{extra}\]'):
        KitWriter(tmp_path, runtime)


class OwnOperator(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(x.numpy() + 1)


class Network(nn.Module):
    def forward(self, x):
        return OwnOperator.apply(x)


def test_torchscript_has_no_operators_of_python(tmp_path):
    """As non-maximum suppression is one."""
    writer = KitWriter(tmp_path, 'torch')
    with pytest.raises(CompressionError, match=r'Network cannot be .* TorchScript \(Could not'):
        writer.add(Entry(Bench(Network(), (1, 3, 4, 4)), {}))
