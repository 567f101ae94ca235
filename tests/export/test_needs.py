"""Packages of the extra ``export``: there, not there, or broken inside."""

import json
import sys

import pytest
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.export import export_onnx, open_session, quantize_int8
from mmdet_lcp.export.needs import needed


def test_what_is_installed_is_imported():
    assert needed('json') is json
    assert needed('json.decoder') is json.decoder  # the inner one


@pytest.mark.parametrize('name', ['no_such_package', 'no_such_package.inside.more'])
def test_what_is_missing_is_named_with_the_way_out(name):
    with pytest.raises(CompressionError) as error:
        needed(name)
    text = str(error.value)
    assert text.startswith("exporting needs the package no_such_package: pip install 'mmdet_lcp[")
    assert "[export]'" in text and "(No module named 'no_such_package')" in text


def test_what_a_package_lacks_itself_is_told(tmp_path, monkeypatch):
    """It is installed, and what it is made of is not."""
    (tmp_path / 'half_there.py').write_text('import no_such_library\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CompressionError, match=r"half_there: pip .*\(No .*'no_such_library'\)"):
        needed('half_there')


def test_other_errors_of_a_package_are_its_own(tmp_path, monkeypatch):
    (tmp_path / 'broken_there.py').write_text('1 / 0\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError):
        needed('broken_there')


@pytest.mark.parametrize('name', ['onnx', 'onnxruntime'])
def test_every_way_of_exporting_says_so(name, tmp_path, monkeypatch):
    """Nothing is written."""
    for each in [name, *(m for m in sys.modules if m.startswith(f'{name}.'))]:
        monkeypatch.setitem(sys.modules, each, None)  # as if it were not installed
    if name == 'onnx':
        with pytest.raises(CompressionError, match='needs the package onnx:'):
            export_onnx(nn.Conv2d(3, 1, 1), (8, 8), tmp_path / 'x.onnx')
    else:
        with pytest.raises(CompressionError, match='needs the package onnxruntime:'):
            open_session(tmp_path / 'x.onnx')
        pytest.importorskip('onnx', reason='the extra `export` is not installed')
    with pytest.raises(CompressionError, match=f'needs the package {name}:'):
        quantize_int8(tmp_path / 'x.onnx', tmp_path / 'y.onnx', [])
    assert list(tmp_path.iterdir()) == []
