"""What a run writes down of its evaluations, where it is asked to."""

from types import SimpleNamespace

import coco_scenes
import pytest

from mmdet_lcp.engine.kept_detections import kept_detections
from mmdet_lcp.measure import image_matches
from mmdet_lcp.measure.image_matches import ImageMatches, file_of


@pytest.fixture
def runner(tmp_path):
    told = []
    logger = SimpleNamespace(info=told.append)
    cfg = dict(keep_detections=True)
    return SimpleNamespace(cfg=cfg, work_dir=str(tmp_path), logger=logger, told=told)


def evaluate():
    """As CocoMetric does: through its module's name."""
    data, found = coco_scenes.scenes(3)
    plain = coco_scenes.evaluated(data, found)
    again = image_matches.coco_metric.COCOeval(plain.cocoGt, plain.cocoDt, 'bbox')
    again.evaluate()
    return len(found)


def test_kept(runner):
    with kept_detections(runner, 'selected'):
        count = evaluate()
    assert len(ImageMatches.load(file_of(runner.work_dir, 'selected')).score) == count
    assert not runner.told


def test_not_asked_for(runner, tmp_path):
    for cfg in ({}, dict(keep_detections=False), None):
        runner.cfg = cfg
        with kept_detections(runner, 'final'):
            evaluate()
    assert not list(tmp_path.iterdir())


def test_another_metric(runner, tmp_path):
    with kept_detections(runner, 'final'):
        pass
    assert not list(tmp_path.iterdir()) and 'CocoMetric' in runner.told[0]


def test_an_evaluation_that_fails_leaves_nothing(runner, tmp_path):
    with pytest.raises(ValueError, match='no'), kept_detections(runner, 'final'):
        evaluate()
        raise ValueError('no')
    assert not list(tmp_path.iterdir())
