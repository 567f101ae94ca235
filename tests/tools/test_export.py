"""tools/export.py: files and a table; mistakes are named, and so is a package that is missing."""

import importlib.util
import re
from pathlib import Path

import pytest
import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('export_tool', ROOT / 'tools' / 'export.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('tiny')
    return tiny.make_config(folder, tiny.make_data(folder / 'data'))


def needs_onnx():
    for name in ('onnx', 'onnxruntime'):
        pytest.importorskip(name, reason='the extra `export` is not installed')


def test_files_and_table(tool, config, tmp_path, capsys):
    needs_onnx()
    out = tmp_path / 'small.onnx'
    arguments = [str(config), str(config.parent / 'dense.pth'), '--out', str(out)]
    assert tool.main([*arguments, '--int8', '3', '--evaluate']) == 0
    printed = capsys.readouterr().out
    written = {'small.onnx', 'small.md', 'small.int8.onnx'}
    assert {path.name for path in tmp_path.iterdir()} == written
    rows = {
        name: re.search(rf'{name} +\|(.*)', printed)[1].split('|')
        for name in ('PyTorch, float32', 'ONNX Runtime, float32', 'ONNX Runtime, int8')
    }
    plain, exact = rows['PyTorch, float32'], rows['ONNX Runtime, float32']
    assert plain[:3] == exact[:3]  # mAP, AP50, AP75
    for row in rows.values():
        assert re.search(r'\d ms', row[3]) and re.search('B', row[4])


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--out', 'x.pth'], 'ends in .onnx'),
        (['--out', 'x.onnx', '--int8', '0'], '0 images'),
    ],
)
def test_mistakes(tool, config, arguments, words, capsys, tmp_path, monkeypatch):
    needs_onnx()
    monkeypatch.chdir(tmp_path)
    assert tool.main([str(config), str(config.parent / 'dense.pth'), *arguments]) == 1
    assert words in capsys.readouterr().err


def test_another_checkpoint(tool, config, tmp_path, capsys):
    assert tool.main([str(config), str(config), '--out', str(tmp_path / 'x.onnx')]) == 1
    assert 'error: ' in capsys.readouterr().err


def test_a_missing_package_is_named(monkeypatch):
    from mmdet_lcp import CompressionError
    from mmdet_lcp.export.needs import needed

    with pytest.raises(CompressionError, match=r'no_such_package: pip install .mmdet_lcp\[export'):
        needed('no_such_package.inside')
