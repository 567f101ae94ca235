"""Labels of an image's objects, against what the file says."""

import pytest
from mmdet.datasets import CocoDataset
from mmdet.utils import register_all_modules

from mmdet_lcp.datasets.object_labels import object_labels
from mmdet_lcp.files import write_json


@pytest.fixture
def dataset(tmp_path) -> CocoDataset:
    """The first image has three objects and a crowd, the second none; no file holds an image."""
    register_all_modules()
    boxes = [(7, 0), (5, 0), (7, 0), (5, 1)]  # category, whether it is a crowd
    annotations = [
        dict(id=i, image_id=3, category_id=c, bbox=[1, 2, 30, 40], area=1200, iscrowd=crowd)
        for i, (c, crowd) in enumerate(boxes)
    ]
    images = [dict(id=i, file_name=f'{i}.png', width=100, height=80) for i in (3, 4)]
    categories = [dict(id=5, name='five'), dict(id=7, name='seven')]
    write_json(
        tmp_path / 'a.json',
        dict(images=images, annotations=annotations, categories=categories),
    )
    return CocoDataset(
        ann_file=str(tmp_path / 'a.json'),
        data_prefix=dict(img=''),
        metainfo=dict(classes=('five', 'seven')),
        test_mode=True,
        pipeline=[],
    )


def test_as_the_file_lists_them(dataset):
    assert object_labels(dataset, 0) == [1, 0, 1]  # in its order, the crowd left out
    assert object_labels(dataset, 1) == []


def test_data_sets_that_do_not_tell():
    assert object_labels([0, 1], 0) is None
    assert object_labels(type('Told', (), {'get_data_info': lambda self, i: {}})(), 0) is None
