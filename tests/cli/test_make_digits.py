"""The command line of tools/make_digits.py."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from mmdet_lcp.cli import make_digits as tool

REPO = Path(__file__).resolve().parents[2]
TINY = ('--train', '3', '--val', '2', '--test', '2')


def run(*args, cwd):
    return subprocess.run(
        [sys.executable, str(REPO / 'tools' / 'make_digits.py'), *map(str, args)],
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_writes_skips_and_refuses(tmp_path, monkeypatch, capsys):
    first = run(*TINY, '--preview', 'sheet.png', cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert (tmp_path / 'data/digits/annotations/train.json').is_file()
    assert f'wrote {tmp_path / "data/digits"}' in first.stdout
    assert 'train      3 images' in first.stdout
    sheet = cv2.imread(str(tmp_path / 'sheet.png'))
    assert sheet.shape == (324, 3 * 324, 3)

    monkeypatch.chdir(tmp_path)
    assert tool.main(list(TINY)) == 0
    assert 'already there' in capsys.readouterr().out

    assert tool.main([*TINY, '--seed', '1']) == 2
    told = capsys.readouterr().err
    assert told.startswith('error: ')
    assert 'seed is 0 there, 1 was asked' in told


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (('--image-size', '10'), 'image_size'),
        (('--train', '0'), 'number of train images'),
        ((*TINY, '--preview', 'no/such/folder.png'), 'cannot write the picture'),
        ((*TINY, '--preview', 'sheet.nosuchformat'), 'cannot write the picture'),
    ],
)
def test_mistakes_are_named(tmp_path, monkeypatch, capsys, args, message):
    monkeypatch.chdir(tmp_path)
    assert tool.main(list(args)) == 2
    assert message in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main(['--help'])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for word in ('COCO', '--preview', 'default: 160', 'scikit-learn'):
        assert word in text
