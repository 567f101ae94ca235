"""Boxes without area leave the training set, in VOC and COCO data, wrapped or not."""

import copy
import json
import logging
from types import SimpleNamespace

import pytest
from mmdet.datasets import CocoDataset, MultiImageMixDataset, XMLDataset
from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset, RepeatDataset

from mmdet_lcp import compat
from mmdet_lcp.datasets.degenerate_boxes import (
    DropDegenerateBoxesHook,
    drop_degenerate_boxes,
    require_images,
)
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import HOOKS

# by image: (x1, y1, x2, y2) as in the XML file
BOXES = {
    'good': [(10, 10, 30, 40), (5, 5, 50, 50)],
    'line': [(10, 10, 10, 40), (5, 5, 50, 50), (7, 9, 20, 9)],
    'only_bad': [(10, 10, 5, 40)],
}


def make_xml_dataset(root, boxes=BOXES, **kwargs):
    (root / 'Annotations').mkdir(parents=True, exist_ok=True)
    for name, rows in boxes.items():
        objects = ''.join(
            f'<object><name>cell</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>'
            f'<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>'
            for x1, y1, x2, y2 in rows
        )
        (root / 'Annotations' / f'{name}.xml').write_text(
            f'<annotation><size><width>64</width><height>64</height></size>{objects}</annotation>'
        )
    (root / 'train.txt').write_text('\n'.join(boxes))
    kwargs = {'filter_cfg': {'filter_empty_gt': True}, **kwargs}
    return XMLDataset(
        data_root=str(root),
        ann_file='train.txt',
        data_prefix={'sub_data_root': ''},
        metainfo={'classes': ('cell',)},
        **kwargs,
    )


def boxes_of(dataset):
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [[tuple(i['bbox']) for i in info['instances']] for info in infos]


EXPECTED = {'line': 2, 'only_bad': 1}
LEFT = [[(9, 9, 29, 39), (4, 4, 49, 49)], [(4, 4, 49, 49)], []]


@pytest.mark.parametrize('serialize', [True, False])
@pytest.mark.parametrize('lazy', [True, False])
def test_xml_dataset(tmp_path, serialize, lazy):
    dataset = make_xml_dataset(tmp_path, serialize_data=serialize, lazy_init=lazy)
    assert drop_degenerate_boxes(dataset) == EXPECTED
    assert boxes_of(dataset) == LEFT
    if serialize:
        assert dataset.data_list == []
    assert drop_degenerate_boxes(dataset) == {}
    assert boxes_of(dataset) == LEFT


def test_clean_data_is_not_touched(tmp_path):
    dataset = make_xml_dataset(tmp_path, {'good': BOXES['good']})
    before = dataset.data_bytes
    assert drop_degenerate_boxes(dataset) == {}
    assert dataset.data_bytes is before


def test_coco_dataset_drops_them_itself_when_it_reads(tmp_path):
    boxes = [[5, 5, 10, 10], [5, 5, 0, 10], [5, 5, 10, 0.5]]
    (tmp_path / 'a.json').write_text(
        json.dumps(
            {
                'categories': [{'id': 1, 'name': 'cell'}],
                'images': [{'id': 1, 'file_name': 'x.jpg', 'width': 64, 'height': 64}],
                'annotations': [
                    {
                        'id': i + 1,
                        'image_id': 1,
                        'category_id': 1,
                        'bbox': box,
                        'area': box[2] * box[3],
                        'iscrowd': 0,
                    }
                    for i, box in enumerate(boxes)
                ],
            }
        )
    )
    dataset = CocoDataset(
        data_root=str(tmp_path),
        ann_file='a.json',
        data_prefix={'img': ''},
        metainfo={'classes': ('cell',)},
    )
    assert boxes_of(dataset) == [[(5, 5, 15, 15)]]
    assert drop_degenerate_boxes(dataset) == {}


def test_nan_boxes_and_instances_without_box(tmp_path):
    dataset = make_xml_dataset(tmp_path, {'good': BOXES['good']}, serialize_data=False)
    dataset.data_list[0]['instances'] += [{'bbox': [0, 0, float('nan'), 5]}, {'text': 'no box'}]
    assert drop_degenerate_boxes(dataset) == {'good': 1}
    assert dataset.data_list[0]['instances'][-1] == {'text': 'no box'}


def wrap_class_balanced(dataset):
    wrapped = ClassBalancedDataset(dataset, oversample_thr=0.1)
    wrapped.full_init()
    return wrapped


@pytest.mark.parametrize(
    'wrap',
    [
        lambda d: RepeatDataset(d, times=3),
        lambda d: ConcatDataset([d, copy.deepcopy(d)]),
        lambda d: RepeatDataset({'type': ConcatDataset, 'datasets': [d, d]}, times=2),
        wrap_class_balanced,
        lambda d: MultiImageMixDataset(d, pipeline=[]),
    ],
    ids=['repeat', 'concat', 'repeat_concat', 'class_balanced', 'mix'],
)
def test_wrappers(tmp_path, wrap):
    inner = make_xml_dataset(tmp_path)
    dataset = wrap(inner)
    length = len(dataset)
    dropped = drop_degenerate_boxes(dataset)
    assert set(dropped) == set(EXPECTED)
    assert len(dataset) == length
    if isinstance(dataset, ConcatDataset):  # two copies, both cleaned
        assert dropped == {name: 2 * n for name, n in EXPECTED.items()}
        assert [boxes_of(d) for d in dataset.datasets] == [LEFT, LEFT]
    else:
        assert dropped == EXPECTED
        assert boxes_of(inner) == LEFT
    assert drop_degenerate_boxes(dataset) == {}


def test_other_datasets_are_left_alone():
    assert drop_degenerate_boxes([1, 2, 3]) == {}


def fake_runner(dataset, caplog):
    logger = logging.getLogger('test_degenerate_boxes')
    caplog.set_level(logging.INFO, logger=logger.name)
    return SimpleNamespace(train_dataloader=SimpleNamespace(dataset=dataset), logger=logger)


def test_hook_says_it_once_in_one_line(tmp_path, caplog):
    hook = HOOKS.build({'type': 'mmdet_lcp.DropDegenerateBoxesHook'})
    runner = fake_runner(make_xml_dataset(tmp_path), caplog)
    hook.before_train(runner)
    hook.before_train(runner)
    assert [record.message for record in caplog.records] == [
        'dropped 3 boxes without area (line, only_bad): they would turn the box loss into NaN'
    ]
    assert boxes_of(runner.train_dataloader.dataset) == LEFT


def test_hook_cleans_the_next_training_set_too(tmp_path, caplog):
    hook = DropDegenerateBoxesHook()
    for name in 'ab':
        hook.before_train(fake_runner(make_xml_dataset(tmp_path / name), caplog))
    assert len(caplog.records) == 2


def test_hook_is_silent_about_clean_data_and_short_about_many(tmp_path, caplog):
    hook = DropDegenerateBoxesHook()
    hook.before_train(fake_runner(make_xml_dataset(tmp_path, {'a': [(1, 1, 9, 9)]}), caplog))
    assert caplog.records == []
    many = {f'i{n}': [(1, 1, 1, 9)] for n in range(8)}
    hook.before_train(fake_runner(make_xml_dataset(tmp_path / 'many', many), caplog))
    assert '8 boxes without area (i0, i1, i2, i3, i4 and 3 more images)' in caplog.text


def test_empty_dataset_is_named_where_it_is_built(tmp_path):
    compat.apply()  # twice does no harm
    with pytest.raises(CompressionError, match='XMLDataset has no images') as error:
        make_xml_dataset(tmp_path, {})
    text = str(error.value)
    assert str(tmp_path / 'train.txt') in text
    assert "data_prefix={'sub_data_root': " in text
    assert 'filter_empty_gt' in text


def test_empty_dataset_is_named_by_the_hook(tmp_path, caplog):
    hook = DropDegenerateBoxesHook()
    dataset = make_xml_dataset(tmp_path, {}, serialize_data=False)
    with pytest.raises(CompressionError, match='XMLDataset has no images'):
        hook.before_train(fake_runner(dataset, caplog))
    with pytest.raises(CompressionError, match='XMLDataset has no images'):
        require_images(RepeatDataset(dataset, times=2))


def test_building_an_ordinary_dataset_is_as_before(tmp_path):
    assert BaseDataset._serialize_data.__name__ == '_serialize_data'
    assert len(make_xml_dataset(tmp_path)) == 3
