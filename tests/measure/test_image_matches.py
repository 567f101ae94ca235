"""What is kept of an evaluation, against pycocotools' own results image by image."""

import coco_scenes
import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmdet.evaluation.metrics import coco_metric

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json
from mmdet_lcp.measure.image_matches import ImageMatches, noted_matches


@pytest.fixture(scope='module')
def evaluation():
    return coco_scenes.evaluated(*coco_scenes.scenes())


@pytest.fixture(scope='module')
def matches(evaluation):
    return ImageMatches.of(evaluation)


def test_every_detection_as_pycocotools_has_it(evaluation, matches):
    areas = [tuple(limits) for limits in evaluation.params.areaRng]
    assert list(matches.areas) == ['all', 'small', 'medium', 'large']
    ids = {item['id']: item['name'] for item in evaluation.cocoGt.dataset['categories']}
    seen = 0
    for cell in filter(None, evaluation.evalImgs):
        k = list(matches.classes).index(ids[cell['category_id']])
        i = list(matches.images).index(cell['image_id'])
        a = areas.index(tuple(cell['aRng']))
        own = (matches.label == k) & (matches.image == i)
        assert matches.score[own].tolist() == cell['dtScores']
        assert np.array_equal(matches.matched[own, a].T, np.asarray(cell['dtMatches']) > 0)
        assert np.array_equal(matches.ignored[own, a].T, np.asarray(cell['dtIgnore']) > 0)
        assert matches.objects[k, a, i] == np.count_nonzero(np.asarray(cell['gtIgnore']) == 0)
        seen += own.sum()
    assert seen == 4 * len(matches.score) > 100
    assert matches.ignored.any() and matches.matched.any()


def test_saved_and_read(matches, tmp_path):
    path = tmp_path / 'folder' / 'final.npz'
    matches.save(path)
    again = ImageMatches.load(path)
    for key, value in vars(matches).items():
        assert np.array_equal(getattr(again, key), value), key
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize('damage', [b'', b'PK\3\4 no archive', b'text'])
def test_a_damaged_file(tmp_path, damage):
    path = tmp_path / 'final.npz'
    path.write_bytes(damage)
    with pytest.raises(CompressionError, match='damaged') as error:
        ImageMatches.load(path)
    assert str(path) in str(error.value)


def test_a_detector_that_finds_nothing(tmp_path):
    data, found = coco_scenes.scenes(3)
    evaluation = coco_scenes.evaluated(data, found[:1])
    evaluation._dts.clear()
    evaluation.cocoDt.dataset['annotations'] = []
    evaluation.cocoDt.createIndex()
    evaluation.evaluate()
    matches = ImageMatches.of(evaluation)
    assert matches.matched.shape == (0, 4, 10) and matches.boxes.shape == (0, 4)
    assert matches.objects[:, 0].sum() > 0
    matches.save(tmp_path / 'x.npz')
    assert ImageMatches.load(tmp_path / 'x.npz').ignored.shape == (0, 4, 10)


def test_what_mmdet_evaluates_is_noted(tmp_path):
    data, found = coco_scenes.scenes(4, crowds=False)
    write_json(tmp_path / 'truth.json', data)
    metric = CocoMetric(str(tmp_path / 'truth.json'))
    metric.dataset_meta = dict(classes=coco_scenes.CLASSES)
    numbers = {item['id']: k for k, item in enumerate(data['categories'])}
    samples = []
    for image in data['images']:
        own = [item for item in found if item['image_id'] == image['id']]
        boxes = torch.tensor([item['bbox'] for item in own], dtype=torch.float64)
        boxes[:, 2:] += boxes[:, :2]
        predicted = dict(
            bboxes=boxes,
            scores=torch.tensor([item['score'] for item in own], dtype=torch.float64),
            labels=torch.tensor([numbers[item['category_id']] for item in own]),
        )
        samples.append(dict(img_id=image['id'], ori_shape=(400, 400), pred_instances=predicted))
    before = coco_metric.COCOeval
    with noted_matches() as kept:
        metric.process({}, samples)
        metrics = metric.evaluate(len(samples))
    assert coco_metric.COCOeval is before
    assert len(kept) == 1 and len(kept[0].score) == len(found)
    expected = coco_scenes.evaluated(data, found).stats[0]
    assert metrics['coco/bbox_mAP'] == pytest.approx(expected, abs=6e-4) and expected > 0.05
    assert sorted(kept[0].boxes[:, 2]) == pytest.approx(sorted(f['bbox'][2] for f in found))
