"""What figures leave out is told; and mmdet's own metric does leave it out."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmdet_lcp.engine.measurement_notes import measurement_notes


def test_a_class_without_an_object(measuring, tmp_path):
    assert measurement_notes(measuring((0, 1))) == [
        f"class 'c' has no object in {tmp_path / 'val.json'}: it does not count in the mean"
    ]


def test_an_annotation_with_id_0(measuring, tmp_path):
    (line,) = measurement_notes(measuring((0, 1, 2), first_id=0))
    assert line.startswith(f'the annotation with id 0 in {tmp_path / "val.json"}, 1 of 3 objects,')
    assert line.endswith('Number the annotations from 1')


def test_only_the_sets_that_are_asked_for(measuring):
    one = measuring((0,), 'test')
    assert measurement_notes(one, ('val',)) == [] and len(measurement_notes(one)) == 2


@pytest.mark.parametrize(('first_id', 'expected'), [(1, 1.0), (0, 2 / 3)])
def test_mmdets_metric_does_not_count_what_has_been_found(measuring, first_id, expected):
    """Three perfect detections of three classes; without this, the note would be wrong."""
    runner = measuring((0, 1, 2), first_id=first_id)
    (metric,) = runner.val_loop.evaluator.metrics
    found = InstanceData(
        bboxes=torch.tensor([[1.0, 1.0, 4.0, 4.0]] * 3),
        scores=torch.full((3,), 0.9),
        labels=torch.arange(3),
    )
    metric.process({}, [dict(img_id=1, ori_shape=(9, 9), pred_instances=found)])
    value = metric.evaluate(size=1)['coco/bbox_mAP']
    assert np.isclose(value, expected, atol=1e-3)
    assert bool(measurement_notes(runner)) == (first_id == 0)
