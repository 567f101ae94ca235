"""Boxes as masks: pycocotools reads them as filled rectangles."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
from pycocotools import mask

ROOT = Path(__file__).resolve().parents[3]


def test_a_box_becomes_its_rectangle():
    tool = runpy.run_path(str(ROOT / 'tools' / 'dev' / 'boxes_as_masks.py'))
    annotations = {'annotations': [{'bbox': [2, 3, 4, 5]}]}
    polygons = tool['with_masks'](annotations)['annotations'][0]['segmentation']
    drawn = mask.decode(mask.merge(mask.frPyObjects(polygons, 12, 10)))
    expected = np.zeros((12, 10))
    expected[3:8, 2:6] = 1
    np.testing.assert_array_equal(drawn, expected)


def test_every_file_of_a_folder(tmp_path, monkeypatch, capsys):
    given = {'annotations': [{'bbox': [0, 0, 1, 2]}]}
    (tmp_path / 'instances_train.json').write_text(json.dumps(given))
    tool = ROOT / 'tools' / 'dev' / 'boxes_as_masks.py'
    monkeypatch.setattr(sys, 'argv', [str(tool), str(tmp_path)])
    runpy.run_path(str(tool), run_name='__main__')
    out = tmp_path / 'boxes_as_masks_train.json'
    assert capsys.readouterr().out == f'{out}\n'
    (one,) = json.loads(out.read_text())['annotations']
    assert one == {'bbox': [0, 0, 1, 2], 'segmentation': [[0, 0, 1, 0, 1, 2, 0, 2]]}
