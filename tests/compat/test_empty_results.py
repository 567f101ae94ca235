"""A detector that finds nothing has the metrics of one, by COCO's own evaluation."""

import json
import logging

import numpy as np
import pytest
import torch
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from pycocotools.mask import encode

from mmdet_lcp.compat.empty_results import empty_results_evaluated

UPSTREAM = COCO.loadRes.__wrapped__


def metric(tmp_path, **options) -> CocoMetric:
    """Of one image with a large object of class a."""
    file = tmp_path / 'truth.json'
    mask = np.zeros((200, 200), np.uint8, order='F')
    mask[10:160, 10:160] = 1
    mask = encode(mask)
    truth = dict(
        info={},
        images=[dict(id=1, width=200, height=200, file_name='a.jpg')],
        categories=[dict(id=0, name='a'), dict(id=1, name='b')],
        annotations=[
            dict(
                id=1,
                image_id=1,
                category_id=0,
                bbox=[10, 10, 150, 150],
                area=150 * 150,
                iscrowd=0,
                segmentation=dict(mask, counts=mask['counts'].decode()),
            )
        ],
    )
    file.write_text(json.dumps(truth))
    found = CocoMetric(ann_file=str(file), **options)
    found.dataset_meta = dict(classes=('a', 'b'))
    return found


def evaluate(metric: CocoMetric, boxes: list[list[float]]) -> dict:
    count = len(boxes)
    masks = np.zeros((count, 200, 200), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, np.array(boxes, int).reshape(-1, 4), strict=True):
        mask[y1:y2, x1:x2] = True
    found = dict(
        bboxes=torch.tensor(boxes).reshape(-1, 4),
        scores=torch.full((count,), 0.9),
        labels=torch.zeros(count, dtype=torch.long),
        masks=torch.from_numpy(masks),
    )
    metric.process({}, [dict(pred_instances=found, img_id=1, ori_shape=(200, 200))])
    return metric.evaluate(size=1)


@pytest.mark.parametrize(
    'options',
    [dict(metric='bbox'), dict(metric=['bbox', 'segm']), dict(metric='bbox', classwise=True)],
    ids=str,
)
def test_it_has_the_keys_of_one_that_finds_what_is_not_there(tmp_path, options):
    """A wrong box: nothing is right either, and the evaluation has always told so."""
    wrong = evaluate(metric(tmp_path, **options), [[170.0, 170, 190, 190]])
    nothing = evaluate(metric(tmp_path, **options), [])
    assert wrong['coco/bbox_mAP'] == 0 and wrong['coco/bbox_mAP_s'] == -1
    np.testing.assert_equal(nothing, wrong)


def test_right_boxes_count_as_before(tmp_path, monkeypatch):
    fixed = evaluate(metric(tmp_path, metric='bbox'), [[10.0, 10, 160, 160]])
    monkeypatch.setattr(COCO, 'loadRes', UPSTREAM)
    assert fixed == evaluate(metric(tmp_path, metric='bbox'), [[10.0, 10, 160, 160]])
    assert fixed['coco/bbox_mAP_50'] == 1


def test_without_it_there_is_no_metric(tmp_path, monkeypatch):
    monkeypatch.setattr(COCO, 'loadRes', UPSTREAM)
    assert evaluate(metric(tmp_path, metric='bbox'), []) == {}
    empty_results_evaluated()
    fixed = COCO.loadRes
    assert evaluate(metric(tmp_path, metric='bbox'), [])['coco/bbox_mAP'] == 0
    empty_results_evaluated()
    assert COCO.loadRes is fixed  # and not wrapped again


def test_the_log_says_why(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr('mmengine.logging.print_log', lambda text, **how: told.append((text, how)))
    evaluate(metric(tmp_path, metric='bbox'), [])
    ((text, how),) = [entry for entry in told if 'evaluated counts' in entry[0]]
    assert text.startswith('Nothing was detected on any of 1 images')
    assert how['level'] == logging.WARNING
