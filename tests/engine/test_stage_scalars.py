"""Scalars of stages, through mmengine's own back end."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.visualization import Visualizer

from mmdet_lcp.engine.stage_scalars import add_stage_scalars


@pytest.fixture
def runner(tmp_path) -> SimpleNamespace:
    back_end = dict(type='LocalVisBackend')
    return SimpleNamespace(visualizer=Visualizer('x', vis_backends=[back_end], save_dir=tmp_path))


def test_they_are_written_with_the_stage_as_step(runner, tmp_path):
    add_stage_scalars(runner, {'coco/bbox_mAP': np.float32(0.5), 'note': 'words'}, 3)
    add_stage_scalars(runner, {'share_regression': 0.25}, 4)
    rows = (tmp_path / 'vis_data' / 'scalars.json').read_text().splitlines()
    assert [json.loads(row) for row in rows] == [
        {'stages/coco/bbox_mAP': 0.5, 'step': 3},
        {'stages/share_regression': 0.25, 'step': 4},
    ]


def test_nothing_to_tell(runner, tmp_path):
    add_stage_scalars(runner, {'note': 'words'}, 1)
    assert not (tmp_path / 'vis_data' / 'scalars.json').exists()
