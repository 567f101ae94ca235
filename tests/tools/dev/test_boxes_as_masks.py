"""Boxes as masks: pycocotools reads them as filled rectangles."""

import runpy
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
