"""The configs of docs/own_photos.md, on two made photos in COCO's format."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS, METRICS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_lcp.config.file import read_config

PAGE = Path(__file__).parents[2] / 'docs' / 'own_photos.md'
CLASSES = ('fish', 'jellyfish', 'penguin')


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """The page's configs by name, and photos: the second has boxes, of the third class one."""
    found = tmp_path_factory.mktemp('own')
    for text in re.findall(r'^```python\n(.*?)^```', PAGE.read_text(), flags=re.M | re.S):
        (found / text.splitlines()[0].removeprefix('# ')).write_text(text)
    photos = found / 'photos'
    (photos / 'images').mkdir(parents=True)
    (photos / 'annotations').mkdir()
    images = []
    for number in (1, 2):
        name = f'{number}.jpg'
        cv2.imwrite(str(photos / 'images' / name), np.full((60, 80, 3), 99, np.uint8))
        images.append(dict(id=number, file_name=name, height=60, width=80))
    boxes = [
        dict(id=n, image_id=2, category_id=c, bbox=[9, 9, 30, 20], area=600, iscrowd=0)
        for n, c in ((1, 1), (2, 3))
    ]
    categories = [dict(id=n, name=name) for n, name in enumerate(CLASSES, 1)]
    told = json.dumps(dict(images=images, annotations=boxes, categories=categories))
    for part in ('train', 'val', 'test'):
        (photos / 'annotations' / f'instances_{part}.json').write_text(told)
    return found


def test_the_detector_and_its_data(folder, monkeypatch):
    """Training takes the photo with boxes, testing both; the labels are those of the names."""
    monkeypatch.chdir(folder)
    register_all_modules()
    cfg = read_config('my_ssd.py')
    assert MODELS.build(cfg.model).bbox_head.num_classes == len(CLASSES)
    train = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(train) == 1 and train.metainfo['classes'] == CLASSES
    sample = train[0]
    assert sample['inputs'].shape == (3, 192, 192)
    assert set(sample['data_samples'].gt_instances.labels.tolist()) <= {0, 2}
    for part in ('val', 'test'):
        assert len(DATASETS.build(cfg[f'{part}_dataloader'].dataset)) == 2
        METRICS.build(cfg[f'{part}_evaluator'])


def test_what_is_pruned_is_what_was_trained(folder):
    dense, pruned = (Config.fromfile(folder / name) for name in ('my_ssd.py', 'my_ssd_pruned.py'))
    assert pruned.load_from == f'work_dirs/my_ssd/epoch_{dense.train_cfg.max_epochs}.pth'
    assert pruned.model == dense.model and pruned.pruning.target.macs == 0.25
