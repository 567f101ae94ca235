"""What new torch and NumPy could break below us, and do not."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from .helpers import reload


def detections() -> tuple[InstanceData, dict]:
    boxes = torch.tensor([[10.0, 10.0, 50.0, 50.0], [60.0, 20.0, 90.0, 80.0]])
    labels = torch.tensor([0, 1])
    found = dict(bboxes=boxes, scores=torch.tensor([0.9, 0.8]), labels=labels)
    return InstanceData(bboxes=boxes, labels=labels), found


def test_voc_metric():
    from mmdet.evaluation import VOCMetric

    truth, found = detections()
    metric = VOCMetric(iou_thrs=[0.5, 0.75], eval_mode='area')
    metric.dataset_meta = dict(classes=('a', 'b'), dataset_type='VOC2012')
    empty = dict(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    sample = dict(gt_instances=truth, ignored_instances=empty, pred_instances=found)
    metric.process({}, [sample])
    result = metric.evaluate(size=1)
    assert result['pascal_voc/mAP'] == 1 and result['pascal_voc/AP75'] == 1
    reload({'best': result['pascal_voc/mAP']})


def test_coco_metric(tmp_path):
    import json

    from mmdet.evaluation import CocoMetric

    _, found = detections()
    boxes = [[10, 10, 40, 40], [60, 20, 30, 60]]
    file = tmp_path / 'truth.json'
    annotations = [
        dict(id=i + 1, image_id=1, category_id=i, bbox=b, area=b[2] * b[3], iscrowd=0)
        for i, b in enumerate(boxes)
    ]
    file.write_text(
        json.dumps(
            dict(
                info={},
                images=[dict(id=1, width=100, height=100, file_name='a.jpg')],
                categories=[dict(id=0, name='a'), dict(id=1, name='b')],
                annotations=annotations,
            )
        )
    )
    metric = CocoMetric(ann_file=str(file), metric='bbox', classwise=True)
    metric.dataset_meta = dict(classes=('a', 'b'))
    sample = dict(pred_instances=found, img_id=1, ori_shape=(100, 100))
    metric.process({}, [sample])
    result = metric.evaluate(size=1)
    assert result['coco/bbox_mAP'] == pytest.approx(1, abs=1e-3)


def test_visualizer_draws(tmp_path):
    from mmdet.structures import DetDataSample
    from mmdet.visualization import DetLocalVisualizer

    _, found = detections()
    sample = DetDataSample(pred_instances=InstanceData(**found))
    visualizer = DetLocalVisualizer()
    visualizer.dataset_meta = dict(classes=('a', 'b'), palette=[(255, 0, 0), (0, 255, 0)])
    image = np.zeros((100, 100, 3), np.uint8)
    out = tmp_path / 'out.png'
    visualizer.add_datasample('x', image, sample, draw_gt=False, out_file=str(out))
    assert out.exists() and visualizer.get_image().any()
