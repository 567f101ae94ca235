"""What is said of classes before a run; the data sets are mmdet's own."""

import json
from types import SimpleNamespace

import pytest
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmengine.dataset import ConcatDataset

from mmdet_lcp.engine.class_check import check_classes
from mmdet_lcp.errors import CompressionError

ABC = ('a', 'b', 'c')


def write(folder, categories) -> str:
    path = folder / f'{"_".join(categories)}.json'
    truth = dict(
        images=[dict(id=1, width=9, height=9, file_name='x.jpg')],
        annotations=[],
        categories=[dict(id=i, name=name) for i, name in enumerate(categories)],
    )
    path.write_text(json.dumps(truth))
    return str(path)


@pytest.fixture
def coco(tmp_path):
    def make(categories=ABC, classes=ABC):
        meta = dict(classes=classes)
        file = write(tmp_path, categories)
        return CocoDataset(
            ann_file=file, metainfo=meta, pipeline=[], data_prefix=dict(img=''), test_mode=True
        )

    return make


@pytest.fixture
def metric(tmp_path):
    def make(categories=ABC, classes=ABC):
        found = CocoMetric(ann_file=write(tmp_path, categories))
        found.dataset_meta = dict(classes=classes)
        return SimpleNamespace(metrics=[found])

    return make


def xml(*classes):
    """A data set whose labels follow its metainfo."""
    return SimpleNamespace(metainfo=dict(classes=classes))


def told(train, trained=None, evaluators=None, **others) -> list[str]:
    lines: list[str] = []
    check_classes(dict(train_dataloader=train, **others), evaluators or {}, trained, lines.append)
    return lines


def test_nothing_is_said_where_all_agree(coco, metric):
    data = coco()
    assert told(data, ABC, dict(val_evaluator=metric()), val_dataloader=data) == []
    assert told(data) == told(xml('a', 'b'), ('a', 'b')) == []


def test_another_order_in_metainfo_is_told(coco):
    """Labels follow the file, whatever the checkpoint says: it is right, or as wrong."""
    for trained in (None, ABC, ABC[::-1]):
        (line,) = told(coco(classes=ABC[::-1]), trained)
        assert 'metainfo.classes has the order (c, b, a)' in line
        assert line.count('(a, b, c)') == 1 and 'a_b_c.json' in line


def test_a_class_that_the_file_lacks_is_refused(coco, metric):
    with pytest.raises(CompressionError, match=r"a_c\.json has no class 'b', which metainfo"):
        told(coco(), val_dataloader=coco(('a', 'c')))
    with pytest.raises(CompressionError, match=r"annotation file of val_evaluator.*class 'b'"):
        told(coco(), None, dict(val_evaluator=metric(('a', 'c'))))


def test_a_class_listed_twice_is_refused(coco):
    with pytest.raises(CompressionError, match=r"lists 'b' more than once"):
        told(coco(('a', 'b', 'c', 'b')))


def test_two_files_with_other_orders_are_refused(coco, metric):
    other = ('b', 'a', 'c')
    wanted = r'(?s)a_b_c\.json.* numbers the classes \(a, b, c\).*numbers them \(b, a, c\)'
    with pytest.raises(CompressionError, match=wanted):
        told(coco(), val_dataloader=coco(other))
    with pytest.raises(CompressionError, match=wanted):
        told(ConcatDataset([coco(), coco(other)]))
    with pytest.raises(CompressionError, match=wanted):
        told(coco(), None, dict(test_evaluator=metric(other)))


def test_a_checkpoint_with_another_order(coco):
    (line,) = told(coco(), ('b', 'a', 'c'))
    assert 'names its classes (b, a, c), the data (a, b, c)' in line and 'swapped' in line
    with pytest.raises(CompressionError, match=r'\(b, a\), the data \(a, b\): its classes would'):
        told(xml('a', 'b'), ('b', 'a'))


def test_a_checkpoint_with_other_names(coco):
    for data in (coco(), xml(*ABC)):
        (line,) = told(data, ('a', 'b', 'dog'))
        assert 'by their numbers' in line
