"""OpenVINO's reader of ONNX, with an engine of our own in its place."""

import sys
from types import SimpleNamespace

import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.export.convert import openvino


@pytest.fixture
def engine(monkeypatch):
    """Notes what it is asked for."""
    asked = []

    def save_model(model, path, **keys):
        asked.append((model, path, keys))

    own = SimpleNamespace(save_model=save_model, asked=asked)
    monkeypatch.setitem(sys.modules, 'openvino', own)
    monkeypatch.setattr(openvino, 'read_onnx', lambda source: f'model of {source.name}')
    return own


def test_weights_stay_in_float32(engine, tmp_path):
    openvino.write(tmp_path / 'x.onnx', tmp_path / 'x.xml', {})
    target = str(tmp_path / 'x.xml')
    assert engine.asked == [('model of x.onnx', target, {'compress_to_fp16': False})]


def test_its_own_errors_are_told_in_a_line(engine, tmp_path, monkeypatch):
    def fails(source):
        raise ValueError('an operator\n   that is not known')

    monkeypatch.setattr(openvino, 'read_onnx', fails)
    with pytest.raises(CompressionError, match=r'x\.onnx: OpenVINO cannot convert it \(an oper'):
        openvino.write(tmp_path / 'x.onnx', tmp_path / 'x.xml', {})
    assert engine.asked == []
