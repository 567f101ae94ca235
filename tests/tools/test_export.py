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


def test_from_pixels_to_boxes_without_data(tool, config, tmp_path, capsys):
    """The pruned config's way: thresholds, another size, no test set, and the file's own words."""
    needs_onnx()
    import json

    import onnx

    out = tmp_path / 'small.onnx'
    arguments = [str(config), str(config.parent / 'dense.pth'), '--out', str(out)]
    more = ['--score-thr', '0.01', '--max-per-img', '7', '--batch', '1', '--opset', '18']
    assert tool.main([*arguments, *more, '--cfg-options', 'test_dataloader=None']) == 0
    assert 'detections in both' in capsys.readouterr().out
    model = onnx.load(str(out))
    said = json.loads({p.key: p.value for p in model.metadata_props}['mmdet_lcp'])
    assert said['input']['height'] == said['input']['width'] == tiny.SIZE
    assert said['thresholds']['max_per_img'] == 7 and said['input']['batch'] == 1
    assert len(said['classes']) == 10 and said['versions']['opset'] == 18


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--opset', '11'], 'opset 11: take one from 16 to 20'),
        (['--max-per-img', '0'], 'max_per_img=0'),
        (
            ['--cfg-options', 'test_dataloader=None', 'val_dataloader=None', 'test_pipeline=None'],
            '--size HEIGHT WIDTH',
        ),
    ],
)
def test_nothing_is_left(tool, config, arguments, words, capsys, tmp_path):
    needs_onnx()
    out = tmp_path / 'x.onnx'
    all_arguments = [str(config), str(config.parent / 'dense.pth'), '--out', str(out), *arguments]
    assert tool.main(all_arguments) == 1
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
