"""The command: what it prints, writes and refuses."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from made_onnx_files import colour_file

from mmdet_lcp_runtime.command import as_json, main

pytest.importorskip('onnxruntime')
cv2 = pytest.importorskip('cv2')


@pytest.fixture
def folder(tmp_path):
    """Two photos with a red square, and the file."""
    colour_file(tmp_path / 'model.onnx')
    image = np.zeros((64, 64, 3), np.uint8)
    image[8:16, 16:24, 2] = 255
    for name in ('a.png', 'b.png'):
        cv2.imwrite(str(tmp_path / name), image)
    return tmp_path


def test_one_photo(folder, capsys):
    model, photo, out = (str(folder / name) for name in ('model.onnx', 'a.png', 'new/seen.png'))
    assert main([model, photo, '--out', out, '--json', str(folder / 'x.json')]) == 0
    assert capsys.readouterr().out == f'{photo}: 1 found\n  red 1.000 [16.0, 8.0, 24.0, 16.0]\n'
    assert cv2.imread(out).shape == (64, 64, 3)
    (row,) = json.loads((folder / 'x.json').read_text())[photo]
    assert row == {'label': 0, 'name': 'red', 'score': 1.0, 'box': [16.0, 8.0, 24.0, 16.0]}


def test_the_file_has_a_line_for_each_detection():
    told = {'a.jpg': [{'label': 0, 'segmentation': {'counts': [1, 2]}}, {'label': 1}], 'b"': []}
    text = as_json(told)
    assert json.loads(text) == told and len(text.splitlines()) == 7
    assert json.loads(as_json({'a.jpg': []})) == {'a.jpg': []}


def test_several_photos(folder):
    photos = [str(folder / name) for name in ('a.png', 'b.png')]
    assert main([str(folder / 'model.onnx'), *photos, '--out', str(folder / 'seen')]) == 0
    assert sorted(path.name for path in (folder / 'seen').iterdir()) == ['a.png', 'b.png']


def test_where_scores_are_low_the_best_is_told(folder, capsys):
    """Scores of the file are the share of red, 0 to 1: of a photo of half of that, 0.5."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[8:16, 16:24, 2] = 128
    cv2.imwrite(str(folder / 'dark.png'), image)
    model, photo = str(folder / 'model.onnx'), str(folder / 'dark.png')
    assert main([model, photo, '--score', '0.9']) == 0
    assert capsys.readouterr().out == (
        f'{photo}: 0 found with 0.9 or more; the best has 0.502: --score\n'
    )
    cv2.imwrite(photo, np.zeros((64, 64, 3), np.uint8))
    assert main([model, photo]) == 0
    assert capsys.readouterr().out == f'{photo}: 0 found\n'


def test_a_folder_takes_one_photo_too(folder):
    (folder / 'seen').mkdir()
    assert (
        main([str(folder / 'model.onnx'), str(folder / 'a.png'), '--out', str(folder / 'seen')])
        == 0
    )
    assert cv2.imread(str(folder / 'seen' / 'a.png')).shape == (64, 64, 3)


@pytest.mark.parametrize('score', ['5', '-0.1', 'nan'])
def test_scores_are_shares(folder, score, capsys):
    with pytest.raises(SystemExit):
        main([str(folder / 'model.onnx'), str(folder / 'a.png'), f'--score={score}'])
    assert 'scores are from 0 to 1' in capsys.readouterr().err


def test_mistakes_are_one_line(folder, capsys):
    model, photo = str(folder / 'model.onnx'), str(folder / 'a.png')
    for arguments, message in (
        ([model, str(folder / 'c.png')], 'there is no such file'),
        ([photo, photo], 'no engine for it'),
        ([model, str(folder)], 'is a folder; name the photos in it'),
        ([model, photo, '--out', str(folder / 'x.nothing')], 'cannot be written'),
        ([model, photo, photo, '--out', str(folder / 'seen')], 'two photos have the name a.png'),
    ):
        assert main(arguments) == 1
        told = capsys.readouterr().err
        assert told.startswith('error: ') and message in told and told.count('\n') == 1


def test_pictures_are_written_where_nobody_reads_the_lines(folder):
    """As with `| head -1`: the pipe is closed before the first line, and that is no error."""
    photos = [str(folder / name) for name in ('a.png', 'b.png')]
    out, told = folder / 'seen', folder / 'x.json'
    words = [str(folder / 'model.onnx'), *photos, '--out', str(out), '--json', str(told)]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, '-m', 'mmdet_lcp_runtime', *words],
        stdout=writing, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, '')
    assert sorted(path.name for path in out.iterdir()) == ['a.png', 'b.png']
    assert list(json.loads(told.read_text())) == photos
