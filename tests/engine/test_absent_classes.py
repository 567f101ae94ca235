"""Classes that no image of a set shows are named; data sets and metrics are mmdet's own."""

from types import SimpleNamespace

from mmdet.datasets import VOCDataset
from mmdet.evaluation import VOCMetric

from mmdet_lcp.engine.absent_classes import absent_classes

XML = """<annotation><size><width>9</width><height>9</height></size><object><name>{}</name>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>
<difficult>{}</difficult></object></annotation>"""


def absent(runner):
    return list(absent_classes('val', runner.val_loop, runner.cfg['val_evaluator']))


def test_named_with_the_file(measuring, tmp_path):
    file = str(tmp_path / 'val.json')
    assert absent(measuring((0, 1))) == [(file, 'c')]
    assert absent(measuring(())) == [(file, 'a'), (file, 'b'), (file, 'c')]


def test_nothing_where_all_are_there(measuring):
    assert absent(measuring((0, 1, 2))) == []


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
    ((file, missing),) = absent_classes('test', loop, None)
    assert missing == 'dog' and 'test.txt' in file
