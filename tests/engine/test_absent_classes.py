"""Classes that no image of a set shows are named; data sets and metrics are mmdet's own."""

import json
from types import SimpleNamespace

import pytest
from mmdet.datasets import VOCDataset
from mmdet.evaluation import CocoMetric, VOCMetric

from mmdet_lcp.engine.absent_classes import absent_class_lines

XML = """<annotation><size><width>9</width><height>9</height></size><object><name>{}</name>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>
<difficult>{}</difficult></object></annotation>"""


@pytest.fixture
def runner(tmp_path):
    """On COCO's data, with objects of some classes; a crowd of `c`."""

    def make(shown=(0,), name='val'):
        path = tmp_path / f'{name}.json'
        box = dict(image_id=1, bbox=[1, 1, 3, 3], area=9, iscrowd=0)
        objects = [dict(box, id=k + 1, category_id=k) for k in shown]
        objects.append(dict(box, id=9, category_id=2, iscrowd=1))
        truth = dict(
            images=[dict(id=1, width=9, height=9, file_name='x.jpg')],
            annotations=objects,
            categories=[dict(id=i, name=text) for i, text in enumerate('abc')],
        )
        path.write_text(json.dumps(truth))
        metric = CocoMetric(ann_file=str(path))
        metric.dataset_meta = dict(classes=('a', 'b', 'c'))
        loop = SimpleNamespace(evaluator=SimpleNamespace(metrics=[metric]))
        cfg = {f'{name}_evaluator': dict(type='CocoMetric', ann_file=str(path))}
        loops = {f'{name}_loop': loop, f'_{name}_loop': loop}
        return SimpleNamespace(cfg=cfg, **loops)

    return make


def test_named_with_the_file(runner, tmp_path):
    assert absent_class_lines(runner((0, 1))) == [
        f"class 'c' has no object in {tmp_path / 'val.json'}: it does not count in the mean"
    ]
    assert [line[:9] for line in absent_class_lines(runner(()))] == [
        "class 'a'",
        "class 'b'",
        "class 'c'",
    ]


def test_nothing_where_all_are_there(runner):
    assert absent_class_lines(runner((0, 1, 2))) == []


def test_only_the_sets_that_are_asked_for(runner):
    one = runner((0,), 'test')
    assert absent_class_lines(one, ('val',)) == [] and len(absent_class_lines(one)) == 2


def test_data_of_xml_files(tmp_path):
    """A difficult object does not count, as in VOC's metric."""
    root = tmp_path / 'VOC2007'
    for folder in ('Annotations', 'JPEGImages', 'ImageSets/Main'):
        (root / folder).mkdir(parents=True)
    (root / 'ImageSets/Main/test.txt').write_text('1\n2\n')
    (root / 'Annotations/1.xml').write_text(XML.format('cat', 0))
    (root / 'Annotations/2.xml').write_text(XML.format('dog', 1))
    data = VOCDataset(
        data_root=str(tmp_path),
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        metainfo=dict(classes=('cat', 'dog')),
        pipeline=[],
        test_mode=True,
    )
    loop = SimpleNamespace(
        evaluator=SimpleNamespace(metrics=[VOCMetric()]),
        dataloader=SimpleNamespace(dataset=data),
    )
    runner = SimpleNamespace(cfg={}, test_loop=loop, _test_loop=loop)
    (line,) = absent_class_lines(runner)
    assert line.startswith("class 'dog' has no object in ") and 'test.txt' in line
