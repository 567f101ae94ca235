"""Converters that are installed, on files whose outputs are known; and what is never kept."""

import importlib
import json
import sys

import numpy as np
import pytest
from made_onnx_files import colour_file, facts, network_file
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.export.convert import TARGETS, convert, described
from mmdet_lcp_runtime import Detector

from .engines import installed, painted

pytest.importorskip('onnxruntime')
FLOAT = dict(layout='NCHW', dtype='float32', normalised_in_graph=False, batch=1)


@pytest.mark.parametrize('target', ['openvino', 'mnn'])
@pytest.mark.parametrize('form', ['end-to-end', 'decoded'])
def test_colours_are_told_by_other_engines(target, form, tmp_path):
    """A red and a blue square; batches of any size; the description goes along."""
    installed(target)
    source = colour_file(tmp_path / 'x.onnx', facts(form))
    found = convert(source, target, tmp_path / 'made')
    assert found.path == tmp_path / 'made' / f'x{TARGETS[target]}'
    assert sorted(found.files) == sorted((tmp_path / 'made').iterdir())
    assert found.difference.small and found.difference.score < 1e-5
    told = json.loads((tmp_path / 'made' / 'x.json').read_text())
    assert told.pop('converted')[target]['score'] == found.difference.score
    assert told == described(source)
    boxes = {'red': [16, 8, 24, 16], 'blue': [40, 48, 48, 56]}
    images = [painted(), painted()[..., ::-1], painted()]  # not each the same
    for number, each in enumerate(Detector(found.path, threads=1)(images)):
        seen = {name: box for name, box in zip(each.names, each.boxes.tolist(), strict=True)}
        red, blue = boxes.values()
        assert seen == (boxes if number != 1 else {'red': blue, 'blue': red})


@pytest.mark.parametrize('target', ['openvino', 'ncnn', 'mnn'])
def test_a_network_computes_the_same(target, tmp_path):
    installed(target)
    source = network_file(tmp_path / 'x.onnx')
    found = convert(source, target)
    assert found.difference.box < 1e-2 and found.difference.score < 1e-4
    one, other = Detector(source), Detector(found.path, threads=1)
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    one, other = one(image), other(image)
    assert len(one) == len(other) > 0
    np.testing.assert_allclose(one.boxes, other.boxes, atol=0.05)
    np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize(
    ('about', 'target', 'message'),
    [
        (facts(), 'ncnn', 'ncnn has neither NMS nor TopK.*--decoded --preprocessed --batch 1'),
        (facts('decoded', input={**FLOAT, 'batch': None}), 'ncnn', '^ncnn takes one image'),
        (facts('decoded', input=dict(batch=1)), 'ncnn', '^ncnn takes float32 images'),
        (facts('raw'), 'openvino', 'export it without --raw'),
        (facts(), 'litert', 'LiteRT has no NMS'),
        (facts('decoded'), 'litert', 'free batch'),
        (facts(), 'tensorrt', "'tensorrt': convert to one of openvino, ncnn, mnn, litert"),
    ],
)
def test_refused_before_anything_runs(about, target, message, tmp_path):
    """Whether the converter is installed or not."""
    source = colour_file(tmp_path / 'x.onnx', about)
    with pytest.raises(CompressionError, match=message):
        convert(source, target, tmp_path / 'made')
    assert not (tmp_path / 'made').exists()


@pytest.mark.parametrize(
    ('target', 'package', 'message'),
    [
        ('openvino', 'openvino', r'openvino: pip install .mmdet_lcp\[openvino\]'),
        ('ncnn', 'pnnx', r'pnnx: pip install .mmdet_lcp\[ncnn\].*--no-deps pnnx'),
        ('mnn', 'MNN', r'MNN: pip install .mmdet_lcp\[mnn\]'),
        ('litert', 'litert_torch', r'litert_torch: .*\[litert\].*an environment of its own'),
    ],
)
def test_a_converter_that_is_not_installed(target, package, message, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    source = network_file(tmp_path / 'x.onnx')
    with pytest.raises(CompressionError, match=message):
        convert(source, target, tmp_path / 'made', module=nn.Identity())
    assert list((tmp_path / 'made').iterdir()) == []


class TestWithConverterOfOurOwn:
    """One that writes a file for ONNX Runtime: what it writes is checked like any other."""

    @pytest.fixture(autouse=True)
    def target(self, monkeypatch):
        """The file to write is set by the test."""
        own = importlib.import_module('mmdet_lcp.export.convert.openvino')
        monkeypatch.setitem(TARGETS, 'openvino', '.copy.onnx')
        monkeypatch.setattr(own, 'PACKAGE', 'onnx')
        self.write = lambda write: monkeypatch.setattr(
            own, 'write', lambda source, target, description, module: write(target)
        )

    def test_it_is_kept_if_it_computes_the_same(self, tmp_path):
        source = network_file(tmp_path / 'x.onnx')
        self.write(network_file)
        found = convert(source, 'openvino', tmp_path / 'made')
        assert found.path.name == 'x.copy.onnx' and found.difference.box == 0

    def test_it_computes_something_else(self, tmp_path):
        source = network_file(tmp_path / 'x.onnx')
        self.write(lambda target: network_file(target, seed=1))
        with pytest.raises(CompressionError, match=r'computes something else than x\.onnx: boxes'):
            convert(source, 'openvino', tmp_path / 'made')
        assert list((tmp_path / 'made').iterdir()) == []

    def test_nothing_can_load_it(self, tmp_path):
        source = network_file(tmp_path / 'x.onnx')
        self.write(lambda target: target.write_bytes(b'damaged'))
        with pytest.raises(CompressionError, match=r'cannot open it.*It was not kept'):
            convert(source, 'openvino', tmp_path / 'made')
        assert list((tmp_path / 'made').iterdir()) == []


def test_what_is_not_of_the_exporter(tmp_path):
    for name, message in (('no.onnx', 'is no ONNX file'), ('text.txt', 'is no ONNX file')):
        with pytest.raises(CompressionError, match=message):
            convert(tmp_path / name, 'mnn')
    (tmp_path / 'x.onnx').write_bytes(b'not at all' * 20)
    with pytest.raises(CompressionError, match='cannot be read as ONNX'):
        convert(tmp_path / 'x.onnx', 'mnn')
    colour_file(tmp_path / 'y.onnx', told=False)
    with pytest.raises(CompressionError, match='says nothing of its input'):
        convert(tmp_path / 'y.onnx', 'mnn')
