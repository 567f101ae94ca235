"""Checkpoints of detectors with other classes; what is right is known from how they are built."""

import copy

import pytest
from detectors import tiny_model
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from small_ssd import MODEL

from mmdet_lcp.engine.class_counts import classes_hint


def with_classes(model, count):
    model = ConfigDict(copy.deepcopy(dict(model)))
    head = model.roi_head.bbox_head if 'roi_head' in model else model.bbox_head
    head.num_classes = count
    return MODELS.build(model)


@pytest.mark.parametrize('family', ['ssd', 'retinanet', 'faster_rcnn', 'yolox'])
def test_num_classes_is_named(family):
    model = MODEL if family == 'ssd' else tiny_model(family)
    detector, weights = with_classes(model, 3), with_classes(model, 7).state_dict()
    hint = classes_hint(detector, weights, {})
    path = 'roi_head.bbox_head' if family == 'faster_rcnn' else 'bbox_head'
    assert f'model.{path}.num_classes=3' in hint and '7 classes' in hint and 'set it to 7' in hint
    assert classes_hint(detector, detector.state_dict(), {}) == ''


def test_the_checkpoints_own_word_comes_first():
    detector, weights = with_classes(MODEL, 3), with_classes(MODEL, 1).state_dict()
    meta = {'dataset_meta': {'classes': ('cat',)}}
    assert 'trained on 1 classes' in classes_hint(detector, weights, meta)


def test_another_architecture_is_none():
    other = dict(MODEL, neck=dict(MODEL['neck'], l2_norm_scale=20))
    assert classes_hint(with_classes(MODEL, 3), with_classes(other, 7).state_dict(), {}) == ''
    wider = copy.deepcopy(dict(MODEL))
    wider['backbone']['width_mult'] = 0.25
    wider['neck'].update(in_channels=(64, 128), out_channels=(64, 128, 32))
    wider['bbox_head'].update(in_channels=(64, 128, 32))
    assert classes_hint(with_classes(MODEL, 3), with_classes(wider, 7).state_dict(), {}) == ''
