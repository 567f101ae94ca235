"""The tool for the tables of docs/device.md: what it measures with, and how it writes it down."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_onnx_files import colour_file

from device_table import main
from device_tables.kept import keep
from device_tables.page import TABLES, cell_text
from device_tables.speed import WORKER, timed
from device_tables.start import started

ROOT = Path(__file__).parents[3]
pytest.importorskip('onnxruntime')

CELL = dict(photos=50, pairs=99, box=0.0123, score=2e-6, ties=0, others=0, version='1', date='d')


@pytest.fixture
def photo(tmp_path) -> str:
    image = np.zeros((64, 64, 3), np.uint8)
    image[8:16, 16:24, 2] = 255
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    return str(tmp_path / 'a.png')


def test_workers_answer_and_import_no_pytorch(tmp_path, photo):
    """Two runs and the end; the memory is its own: PyTorch alone would take over 150 MB."""
    file = colour_file(tmp_path / 'x.onnx')
    command = [sys.executable, str(WORKER), 'file', str(file), '1', photo, photo]
    done = subprocess.run(command, input='run\nrun\nend\n', capture_output=True, text=True)
    *runs, peak = map(json.loads, done.stdout.splitlines())
    assert len(runs) == 2 and all(len(run) == 2 for run in runs), done.stderr
    assert all(clock > 0 and process >= 0 for run in runs for process, clock in run)
    assert 10 < peak < 150


def test_the_least_of_each_photo_counts(tmp_path, photo):
    file = colour_file(tmp_path / 'x.onnx')
    found = timed({'colours': (str(file),)}, [photo], 2)
    (row,) = found.values()
    assert set(row) == {'1', '2', 'peak_mb'}
    assert all(row[threads]['clock_ms'] > 0 for threads in '12')


def test_a_file_beside_mmdets_boxes(tmp_path, photo):
    """The same box 0.05 pixels away is a pair, one a pixel away is none."""
    from device_tables.agreement import compared
    from mmdet_lcp.export.agreement import Found

    colour_file(tmp_path / 'x.onnx')
    box, score, label = np.float32([[16, 8, 24, 16]]), np.float32([1]), np.array([0])
    for away, pairs, others in ((0.05, 1, 0), (1, 0, 2)):
        expected = [Found(box + np.float32(away), score, label)]
        found = compared(tmp_path / 'x.onnx', expected, [photo])
        assert (found['pairs'], found['others']) == (pairs, others)


def test_time_to_the_first_box_is_that_of_a_whole_process():
    code = 'import time; time.sleep(0.2); sum(range(10**6))'
    process, clock = started(sys.executable, code, alone=True)
    assert clock > 0.2 and 0 < process < clock + 0.2
    with pytest.raises(SystemExit, match='ended with'):
        started(sys.executable, 'raise ValueError', alone=True)


@pytest.mark.parametrize(
    ('cell', 'text'),
    [
        (None, 'not run'),
        ({'refused': 'ncnn has no TopK'}, 'no: ncnn has no TopK'),
        (CELL, '1e-02 / 2e-06'),
        ({**CELL, 'ties': 3}, '1e-02 / 2e-06 (3 ties beside 99)'),
        ({**CELL, 'map': 0.49, 'int8_map': 0.48}, '1e-02 / 2e-06; mAP -0.0100, int8 -0.0200'),
    ],
)
def test_cells(cell, text):
    assert cell_text(cell, 0.5) == text


def test_the_page_is_filled_between_its_marks(tmp_path):
    """What was not measured stays as it is."""
    page = tmp_path / 'page.md'
    marks = {name: (f'<!-- {name}: begin -->', f'<!-- {name}: end -->') for name in TABLES}
    page.write_text(''.join(f'{a}\nold {name}\n{b}\n' for name, (a, b) in marks.items()))
    keep(tmp_path, 'agree', {'SSD': {'map': 0.5, 'engines': {'mnn': CELL}}})
    found = {'cpu_s': 0.5, 'clock_s': 1.0}
    start = dict(detector='SSD', runs=5, runtime=found, mmdet=dict(cpu_s=10.0, clock_s=12.0))
    keep(tmp_path, 'start', start)
    main(['page', '--work', str(tmp_path), '--out', str(page)])
    text = page.read_text()
    assert '| SSD, mAP 0.5000 | 1e-02 / 2e-06 |' in text and '| | MNN 1 |' in text
    assert 'old agree' not in text and 'old start' not in text and 'old speed' in text
    assert '1.00 s with the runtime alone, 12.0 s with `init_detector`, 12 times as long' in text
    assert '20 times' in text
    assert all(text.count(mark) == 1 for pair in marks.values() for mark in pair)


def test_the_page_has_the_marks():
    text = (ROOT / 'docs' / 'device.md').read_text()
    for name in TABLES:
        assert text.count(f'<!-- {name}: begin -->') == text.count(f'<!-- {name}: end -->') == 1
