"""Names by label, against the labels that mmdet gives to objects of known classes."""

import json
from types import SimpleNamespace

import pytest
from mmdet.datasets import CocoDataset, VOCDataset
from mmengine.dataset import ConcatDataset, RepeatDataset

from mmdet_lcp.datasets.label_names import label_meta, label_names

PALETTE = [(1, 1, 1), (2, 2, 2), (3, 3, 3)]
XML = """<annotation><size><width>9</width><height>9</height></size><object><name>cat</name>
<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>8</xmax><ymax>8</ymax></bndbox>
</object></annotation>"""


def coco(folder, classes=('a', 'b', 'c'), categories=('a', 'b', 'c'), before='', **more):
    """An image with one object of each category; its width is 10 times the category's number."""
    truth = dict(
        images=[dict(id=1, width=90, height=90, file_name='x.jpg')],
        annotations=[
            dict(id=i, image_id=1, category_id=i, bbox=[0, 0, 10 * i, 9], area=9, iscrowd=0)
            for i in range(1, len(categories) + 1)
        ],
        categories=[dict(id=i, name=name) for i, name in enumerate(categories, 1)],
    )
    if before:
        truth = dict(info=dict(description=before), **truth)
    path = folder / f'{"_".join(categories)}.json'
    path.write_text(json.dumps(truth))
    meta = dict(classes=classes, palette=PALETTE[: len(classes)])
    return CocoDataset(
        ann_file=str(path), metainfo=meta, pipeline=[], data_prefix=dict(img=''), **more
    )


def as_mmdet_labels(dataset, categories) -> tuple[str, ...]:
    """Name of each label, by the width of the object that has it."""
    by_label = {
        item['bbox_label']: categories[round(item['bbox'][2] / 10) - 1]
        for item in dataset.get_data_info(0)['instances']
    }
    return tuple(by_label[label] for label in sorted(by_label))


@pytest.mark.parametrize(
    ('classes', 'categories'),
    [
        (('a', 'b', 'c'), ('a', 'b', 'c')),
        (('c', 'b', 'a'), ('a', 'b', 'c')),
        (('b', 'a'), ('a', 'x', 'b')),
        (('a', 'b'), ('b', 'a', 'c')),
    ],
)
def test_labels_of_coco_follow_the_file(tmp_path, classes, categories):
    dataset = coco(tmp_path, classes, categories)
    assert label_names(dataset) == as_mmdet_labels(dataset, categories)


def test_the_palette_goes_with_the_names(tmp_path):
    meta = label_meta(coco(tmp_path, ('c', 'a', 'b')))
    assert meta == dict(classes=('a', 'b', 'c'), palette=[(2, 2, 2), (3, 3, 3), (1, 1, 1)])
    same = label_meta(coco(tmp_path))
    assert same == dict(classes=('a', 'b', 'c'), palette=PALETTE)


@pytest.mark.parametrize('before', ['about "categories": [', '"categories"' * 3, 'é' * 99])
def test_the_list_is_found_behind_other_text(tmp_path, before):
    assert label_names(coco(tmp_path, ('b', 'a', 'c'), before=before)) == ('a', 'b', 'c')


def test_a_long_list_is_read_to_its_end(tmp_path):
    names = tuple(f'class {i} {"x" * 90}' for i in range(1000))  # more than what is read at once
    folder = tmp_path / 'long'
    folder.mkdir()
    categories = [dict(id=i, name=name) for i, name in enumerate(names)]
    truth = dict(images=[dict(id=1, width=9, height=9, file_name='x')], annotations=[])
    path = folder / 'long.json'
    path.write_text(json.dumps(dict(categories=categories, **truth)))
    dataset = CocoDataset(
        ann_file=str(path),
        metainfo=dict(classes=names[::-1]),
        pipeline=[],
        data_prefix=dict(img=''),
        test_mode=True,
    )
    assert label_names(dataset) == names


def test_labels_of_xml_files_follow_metainfo(tmp_path):
    (tmp_path / 'Annotations').mkdir()
    (tmp_path / 'Annotations' / 'x.xml').write_text(XML)
    (tmp_path / 'VOC2007.txt').write_text('x')
    dataset = VOCDataset(
        data_root=str(tmp_path),
        ann_file='VOC2007.txt',
        data_prefix=dict(sub_data_root=''),
        metainfo=dict(classes=('dog', 'cat')),
        pipeline=[],
    )
    label = dataset.get_data_info(0)['instances'][0]['bbox_label']
    assert label_names(dataset) == ('dog', 'cat')
    assert label_names(dataset)[label] == 'cat'


def test_of_data_sets_that_are_put_together(tmp_path):
    part = coco(tmp_path, ('c', 'b', 'a'))
    for whole in (ConcatDataset([part, part]), RepeatDataset(part, 2)):
        assert label_names(whole) == ('a', 'b', 'c')
        assert label_meta(whole)['classes'] == ('a', 'b', 'c')


def test_only_classes_and_colours_are_taken():
    meta = {'classes': ('a',), 'palette': [(1, 2, 3)], 'other': object()}
    taken = label_meta(SimpleNamespace(metainfo=meta))
    assert taken == {'classes': ('a',), 'palette': [(1, 2, 3)]}


def test_without_names():
    assert label_names(object()) is None and label_meta(object()) == {}
