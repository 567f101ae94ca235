"""Pictures that a run leaves; names in them are those of the labels."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp.files import write_json
from mmdet_lcp.report.painter import Painter
from mmdet_lcp.report.run_pictures import write_run_pictures
from mmdet_lcp.report.stored_pictures import read_pictures


class Finds(nn.Module):
    """Finds one object of each label, always."""

    def test_step(self, batch):
        (sample,) = batch['data_samples']
        found = DetDataSample(metainfo=sample.metainfo)
        boxes = torch.tensor([[2.0, 20, 30, 60], [40, 20, 90, 60]])
        scores = torch.tensor([0.9, 0.8])
        found.pred_instances = InstanceData(
            bboxes=boxes, labels=torch.tensor([0, 1]), scores=scores
        )
        return [found]


@pytest.fixture
def dataset(tmp_path) -> CocoDataset:
    """`metainfo` lists the classes in another order than the file, by which labels count."""
    register_all_modules()
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((80, 100, 3), 200, np.uint8))
    boxes = ([2, 20, 28, 40], [40, 20, 50, 40])
    annotations = [
        dict(id=i, image_id=0, category_id=i, bbox=box, area=box[2] * box[3], iscrowd=0)
        for i, box in enumerate(boxes)
    ]
    names = ('narrow', 'wide')
    write_json(
        tmp_path / 'a.json',
        dict(
            images=[dict(id=0, file_name='a.png', width=100, height=80)],
            annotations=annotations,
            categories=[dict(id=i, name=name) for i, name in enumerate(names)],
        ),
    )
    return CocoDataset(
        ann_file=str(tmp_path / 'a.json'),
        data_prefix=dict(img=str(tmp_path)),
        metainfo=dict(classes=('wide', 'narrow'), palette=[(0, 0, 255), (255, 0, 0)]),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PackDetInputs'),
        ],
    )


def test_names_and_colours_come_from_where_the_labels_come_from(dataset, tmp_path, monkeypatch):
    drawn = []
    draw = Painter.draw_texts
    monkeypatch.setattr(
        Painter,
        'draw_texts',
        lambda self, texts, positions, **more: (
            drawn.append((texts, positions[0])) or draw(self, texts, positions, **more)
        ),
    )
    write_run_pictures(Finds(), Finds(), dataset, tmp_path / 'out', 'dense', ({}, {}))
    assert drawn
    for text, x in drawn:  # the narrow box is on the left
        assert text.startswith('narrow' if x < 200 else 'wide'), (text, x)
    (stored,) = read_pictures(tmp_path / 'out')
    assert stored.boxes == [2, 2, 2] and (tmp_path / 'out' / 'detections.png').exists()
    picture = cv2.imread(str(tmp_path / 'out' / 'pictures' / stored.truth))
    left = picture[200:370, 12:14].reshape(-1, 3).mean(0)  # the narrow one's edge, in BGR
    assert left[2] > left[0] + 30  # red is narrow's colour
