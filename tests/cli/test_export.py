"""`mmdet-lcp export`: files, a table and what is said; mistakes and missing packages are named."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tiny

from mmdet_lcp.cli import export as tool
from mmdet_lcp_runtime import Detector
from mmdet_lcp_runtime.command import main as detect


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('tiny')
    return tiny.make_config(folder, tiny.make_data(folder / 'data'))


def needs_onnx():
    for name in ('onnx', 'onnxruntime'):
        pytest.importorskip(name, reason='the extra `export` is not installed')


def test_files_and_table(config, tmp_path, capsys, monkeypatch):
    """The file's mAP is the detector's; the command that is told next can be typed."""
    needs_onnx()
    monkeypatch.chdir(tmp_path)
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
    assert 'chosen: ' in printed and 'metric' in printed  # by mAP on the validation set
    sizes = re.search(r'sizes .*\n(.*)', printed)[1]
    assert re.search(r'weights, float32 .*B -> small.onnx .*B -> small.int8.onnx .*B', sizes)
    int8 = Detector('small.int8.onnx')
    assert int8.metadata.form == 'end-to-end' and int8.metadata.facts['int8']['scheme']
    program, command, *words = shlex.split(printed.rstrip().splitlines()[-1])
    assert (program, command) == ('mmdet-lcp', 'detect')
    assert detect(words) == 0 and Path('seen.jpg').is_file()


def test_another_engine(config, tmp_path, capsys):
    """Boxes of the converted file are those of the first; in eight bits it is smaller."""
    needs_onnx()
    pytest.importorskip('openvino')
    pytest.importorskip('nncf')
    out = tmp_path / 'small.onnx'
    arguments = [str(config), str(config.parent / 'dense.pth'), '--out', str(out)]
    assert tool.main([*arguments, '--to', 'openvino', '--int8', '3', '--keep', 'heads']) == 0
    assert 'small.int8.xml' in capsys.readouterr().out.splitlines()[-1]
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    one, other, int8 = (
        Detector(tmp_path / f'small{end}', threads=1)(image)
        for end in ('.onnx', '.xml', '.int8.xml')
    )
    assert len(one) == len(other) > 0 and len(int8) > 0
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
    sizes = [(tmp_path / f'small{end}.bin').stat().st_size for end in ('', '.int8')]
    assert sizes[1] < 0.5 * sizes[0]


@pytest.mark.parametrize('engine', ['ncnn', 'litert'])
def test_an_engine_without_nms_gets_what_it_takes(config, engine, tmp_path):
    """`--to` decides the form; what is typed besides is taken at its word."""
    needs_onnx()
    from mmdet_lcp.export.convert import converter_of

    words = [str(config), 'x.pth', '--out', 'x.onnx', '--to', engine]
    form = tool.form_of(tool.parse_args(words))
    assert form['form'] == 'decoded' and form['batch'] == 1
    given = dict(batch=1, layout='NHWC', dtype='uint8')
    if not form['pixels']:
        given.update(layout='NCHW', dtype='float32')
    converter_of(engine).check({'form': form['form'], 'input': given})
    assert tool.form_of(tool.parse_args([*words, '--batch', '4']))['batch'] == 4
    plain = tool.form_of(tool.parse_args(words[:4]))
    assert plain == {'form': 'end-to-end', 'pixels': True, 'batch': None}


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--out', 'x.pth'], 'ends in .onnx'),
        (['--out', 'x.onnx', '--int8', '0'], '0 images'),
        (['--out', 'x.onnx', '--raw', '--to', 'mnn'], '--to needs boxes'),
        (['--out', 'x.onnx', '--raw', '--evaluate'], 'leave --raw out'),
        (['--out', 'x.onnx', '--keep', 'auto'], 'add --int8'),
        (['--out', 'x.onnx', '--int8', '--to', 'ncnn'], '--int8 --to ncnn: eight bits are'),
        (['--out', 'x.onnx', '--int8', '--to', 'openvino', '--keep', 'auto'], 'take --keep heads'),
    ],
)
def test_mistakes(config, arguments, words, capsys, tmp_path, monkeypatch):
    needs_onnx()
    monkeypatch.chdir(tmp_path)
    assert tool.main([str(config), str(config.parent / 'dense.pth'), *arguments]) == 1
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--batch', '0'], 'batch 0: take a whole number from 1'),
        (['--size', '0', '64'], 'size 0 x 64: take pixels, from 1'),
        (['--evaluate', '--cfg-options', 'test_dataloader=None'], 'nothing to measure on'),
        (['--out', 'file/x.onnx'], '--out file/x.onnx: its folder cannot be made'),
        (['--to', 'litert'], 'exporting needs the package nowhere_to_be_found'),
    ],
)
def test_mistakes_that_are_told_before_anything_is_written(
    config, arguments, words, capsys, tmp_path, monkeypatch
):
    needs_onnx()
    from mmdet_lcp.export.convert import litert

    monkeypatch.setattr(litert, 'NEEDS', ('nowhere_to_be_found',))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    given = ['--out', 'x.onnx', *arguments]
    assert tool.main([str(config), str(config.parent / 'dense.pth'), *given]) == 1
    assert words in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_a_batch_that_is_no_number(capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(['a.py', 'a.pth', '--out', 'x.onnx', '--batch', 'two'])
    assert "'two': take a whole number from 1" in capsys.readouterr().err


def test_another_checkpoint(config, tmp_path, capsys):
    assert tool.main([str(config), str(config), '--out', str(tmp_path / 'x.onnx')]) == 1
    assert 'error: ' in capsys.readouterr().err


def test_a_missing_package_is_named(monkeypatch):
    from mmdet_lcp import CompressionError
    from mmdet_lcp.export.needs import needed

    with pytest.raises(CompressionError, match=r'no_such_package: pip install .mmdet_lcp\[export'):
        needed('no_such_package.inside')


def test_from_pixels_to_boxes_without_data(config, tmp_path, capsys):
    """The pruned config's way: thresholds, another size, no test set, and the file's own words."""
    needs_onnx()
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
def test_nothing_is_left(config, arguments, words, capsys, tmp_path):
    needs_onnx()
    out = tmp_path / 'x.onnx'
    all_arguments = [str(config), str(config.parent / 'dense.pth'), '--out', str(out), *arguments]
    assert tool.main(all_arguments) == 1
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_for_an_npu(config, tmp_path, monkeypatch):
    """The form that `mmdet-lcp-rknn` takes; the toolkit is a stand-in, see `fake_rknn`."""
    needs_onnx()
    cv2 = pytest.importorskip('cv2')
    import fake_rknn  # it imports onnxruntime

    from mmdet_lcp_runtime.rknn.command import main as convert

    fake_rknn.install(monkeypatch)
    out, photo = tmp_path / 'small.onnx', str(tmp_path / 'photo.png')
    arguments = [str(config), str(config.parent / 'dense.pth'), '--out', str(out)]
    assert tool.main([*arguments, '--decoded', '--preprocessed', '--batch', '1']) == 0
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    cv2.imwrite(photo, image)
    made = str(tmp_path / 'small.rknn')
    assert convert([str(out), photo, '--platform', 'rk3588', '--out', made]) == 0
    one, other = (Detector(path)(photo) for path in (out, made))
    assert len(one) == len(other) > 0
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
    np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-2)
