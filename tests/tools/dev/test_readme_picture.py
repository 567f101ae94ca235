"""README's picture is made of a run's report and pictures."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdet_lcp.files import write_json

TOOL = Path(__file__).parents[3] / 'tools' / 'dev' / 'readme_picture.py'


@pytest.fixture
def work_dir(tmp_path):
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for kind, grey in (('dense', 40), ('compressed', 220)):
        Image.fromarray(np.full((30, 40, 3), grey, np.uint8)).save(folder / f'0_{kind}.jpg')
    pictures = [dict(dense='0_dense.jpg', compressed='0_compressed.jpg')]
    write_json(folder / 'pictures.json', dict(pictures=pictures))
    facts = dict(
        metrics={'coco/bbox_mAP': 0.5}, latency_ms=12.34, file_bytes=2_000_000, macs=3_000_000
    )
    write_json(tmp_path / 'report.json', dict(dense=facts, compressed=facts))
    return tmp_path


def test_both_pictures_side_by_side(work_dir, monkeypatch):
    out = work_dir / 'out.png'
    monkeypatch.setattr(sys, 'argv', ['x', str(work_dir), '--out', str(out)])
    runpy.run_path(str(TOOL), run_name='__main__')
    seen = np.asarray(Image.open(out).convert('L')).astype(int)
    middle = seen[len(seen) // 2 + 30]
    assert abs(np.median(middle[80 : len(middle) // 2 - 80]) - 40) < 10
    assert abs(np.median(middle[len(middle) // 2 + 80 : -80]) - 220) < 10


def test_caption():
    caption = runpy.run_path(str(TOOL))['caption']
    facts = dict(
        metrics={'coco/bbox_mAP': 0.51}, latency_ms=29.51, file_bytes=15_200_000, macs=725_000_000
    )
    assert caption('dense', facts) == 'dense: 29.5 ms, 15.2 MB, 725 M MACs\nmAP 0.510'
