"""Calibration images against the files themselves, read and normalised by NumPy."""

import copy
import json

import cv2
import numpy as np
import pytest
import tiny
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdet_lcp import CompressionError
from mmdet_lcp.export import calibration_images, file_images

MEAN, STD = np.array([10.0, 20, 30]), np.array([50.0, 60, 70])
TRAINING = 6


@pytest.fixture(scope='module')
def cfg(tmp_path_factory) -> Config:
    """The first training image has no objects; training crops and recolours at random."""
    folder = tmp_path_factory.mktemp('tiny')
    cfg = Config.fromfile(tiny.make_config(folder, tiny.make_data(folder / 'data')))
    file = folder / 'data' / 'annotations' / 'train.json'
    truth = json.loads(file.read_text())
    first = truth['images'][0]['id']
    truth['annotations'] = [a for a in truth['annotations'] if a['image_id'] != first]
    file.write_text(json.dumps(truth))
    assert cfg.train_dataloader.dataset.filter_cfg.filter_empty_gt
    return cfg


@pytest.fixture(scope='module')
def detector():
    """Of which the preprocessor alone is asked."""
    preprocessor = dict(
        type='DetDataPreprocessor', mean=MEAN.tolist(), std=STD.tolist(), bgr_to_rgb=True
    )

    class Detector:
        data_preprocessor = MODELS.build(preprocessor)

    return Detector()


def of_files(cfg: Config, split: str = 'train') -> list[np.ndarray]:
    """Each file, RGB, normalised, channels first; at the tiny size nothing is resized."""
    found = []
    for path in sorted((cfg.data_root + f'images/{split}/{name}') for name in names(cfg, split)):
        image = cv2.imread(path)[..., ::-1]
        found.append(((image - MEAN) / STD).transpose(2, 0, 1)[None])
    return found


def names(cfg: Config, split: str) -> list[str]:
    with open(cfg.data_root + f'annotations/{split}.json') as file:
        return [image['file_name'] for image in json.load(file)['images']]


def which(image: np.ndarray, known: list[np.ndarray]) -> int:
    """The number of the only one that it is like."""
    near = [n for n, other in enumerate(known) if np.abs(image - other).max() < 1e-5]
    assert len(near) == 1
    return near[0]


def with_dataset(cfg: Config, dataset: dict) -> Config:
    cfg = copy.deepcopy(cfg)
    cfg.train_dataloader.dataset = dataset
    return cfg


def test_they_are_the_training_images_prepared_for_testing(cfg, detector):
    """No crop, no other colours; images without objects too; each once, in another order."""
    before = cfg.to_dict()
    found = calibration_images(cfg, detector, 100)
    assert all(image.shape == (1, 3, tiny.SIZE, tiny.SIZE) for image in found)
    assert all(image.dtype == np.float32 for image in found)
    known = of_files(cfg)
    order = [which(image, known) for image in found]
    assert sorted(order) == list(range(TRAINING)) != order
    assert cfg.to_dict() == before


def test_a_few_by_the_seed(cfg, detector):
    known = of_files(cfg)
    drawn = {
        seed: [which(image, known) for image in calibration_images(cfg, detector, 3, seed)]
        for seed in range(4)
    }
    assert all(len(set(order)) == 3 for order in drawn.values())
    assert len({tuple(order) for order in drawn.values()}) > 2
    assert set().union(*drawn.values()) == set(range(TRAINING))
    again = calibration_images(cfg, detector, 3, 1)
    assert [which(image, known) for image in again] == drawn[1]


def test_the_size_is_the_test_sets(cfg, detector):
    """Resized as mmdet does, by OpenCV."""
    cfg = copy.deepcopy(cfg)
    for step in cfg.test_dataloader.dataset.pipeline:
        if step.type == 'Resize':
            step.scale = (96, 32)
            step.keep_ratio = False
    (found,) = calibration_images(cfg, detector, 1)
    assert found.shape == (1, 3, 32, 96)
    expected = []
    for name in names(cfg, 'train'):
        image = cv2.resize(cv2.imread(cfg.data_root + f'images/train/{name}'), (96, 32))
        expected.append(((image[..., ::-1] - MEAN) / STD).transpose(2, 0, 1)[None])
    which(found, expected)


def test_datasets_in_datasets(cfg, detector):
    """Repeated and joined: each part gets the test pipeline, and each image comes once."""
    inner = cfg.train_dataloader.dataset
    other = copy.deepcopy(inner)
    other.update(ann_file='annotations/val.json', data_prefix=dict(img='images/val/'))
    joined = dict(type='ConcatDataset', datasets=[inner, other])
    known = of_files(cfg) + of_files(cfg, 'val')
    found = calibration_images(with_dataset(cfg, joined), detector, 100)
    assert sorted(which(image, known) for image in found) == list(range(TRAINING + 2))
    repeated = dict(type='RepeatDataset', times=2, dataset=joined)
    of_repeated = dict(
        type='ConcatDataset',
        datasets=[dict(type='RepeatDataset', times=3, dataset=inner), other],
    )
    mixed = dict(type='MultiImageMixDataset', dataset=joined, pipeline=[dict(type='Mosaic')])
    for wrapped in (repeated, of_repeated, mixed):
        found = calibration_images(with_dataset(cfg, wrapped), detector, 100)
        assert sorted(which(image, known) for image in found) == list(range(TRAINING + 2))


@pytest.mark.parametrize('count', [0, -1, 2.0, '3', None, True])
def test_no_such_number(cfg, detector, count):
    with pytest.raises(CompressionError, match=f'^{count!r} images: take a whole number from 1'):
        calibration_images(cfg, detector, count)


def test_a_file_that_is_not_there(cfg, detector):
    dataset = copy.deepcopy(cfg.train_dataloader.dataset)
    dataset.ann_file = 'annotations/nowhere.json'
    message = r'`train_dataloader` names a file .*nowhere\.json.*`ann_file`'
    with pytest.raises(CompressionError, match=message):
        calibration_images(with_dataset(cfg, dataset), detector, 1)


def description(**keys) -> dict:
    """Of a file that takes images of the tiny size as they are read."""
    given = dict(name='images', layout='NHWC', dtype='uint8', height=tiny.SIZE, width=tiny.SIZE,
                 channels=3, batch=None, color='bgr', resize={'mode': 'stretch'}, mean=[], std=[],
                 normalised_in_graph=True)  # fmt: skip
    return {'form': 'end-to-end', 'input': {**given, **keys}}


def test_as_a_file_takes_them_they_are_the_files_themselves(cfg):
    found = file_images(cfg, description(), 100)
    assert all(image.shape == (1, tiny.SIZE, tiny.SIZE, 3) for image in found)
    assert all(image.dtype == np.uint8 for image in found)
    known = [cv2.imread(cfg.data_root + f'images/train/{name}') for name in names(cfg, 'train')]
    order = [next(n for n, one in enumerate(known) if (image == one).all()) for image in found]
    assert sorted(order) == list(range(TRAINING))


def test_a_pipeline_that_reads_floats_gives_the_same(cfg):
    """CenterNet's config has `to_float32`; the file takes bytes."""
    floats = copy.deepcopy(cfg)
    (loading,) = (
        step
        for step in floats.test_dataloader.dataset.pipeline
        if step.type.endswith('LoadImageFromFile')
    )
    loading.to_float32 = True
    for one, other in zip(
        file_images(floats, description(), 3), file_images(cfg, description(), 3), strict=True
    ):
        assert one.dtype == np.uint8 and np.array_equal(one, other)


def test_preprocessed_they_are_those_of_mmdet(cfg, detector):
    """The same seed draws the same images."""
    given = dict(layout='NCHW', dtype='float32', color='rgb', normalised_in_graph=False)
    about = description(**given, mean=MEAN.tolist(), std=STD.tolist())
    expected = calibration_images(cfg, detector, 4, 3)
    for one, other in zip(file_images(cfg, about, 4, 3), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(('batch', 'count', 'batches'), [(2, 5, 2), (4, 3, 1), (1, 2, 2)])
def test_batches_are_full(cfg, batch, count, batches):
    found = file_images(cfg, description(batch=batch), count)
    assert [len(each) for each in found] == [batch] * batches


def test_an_image_that_does_not_fit_the_file(cfg):
    about = description(resize={'mode': 'none'}, height=tiny.SIZE + 1)
    with pytest.raises(CompressionError, match='pixels high, the detector takes'):
        file_images(cfg, about, 1)
    with pytest.raises(CompressionError, match='has 3 channels, the detector takes 1'):
        file_images(cfg, description(channels=1, color='gray'), 1)
    with pytest.raises(CompressionError, match='0 images'):
        file_images(cfg, description(), 0)


def test_without_a_test_set_the_validation_set_says_how(cfg):
    """And without a training set there is nothing to draw from."""
    none = Config({**cfg.to_dict(), 'test_dataloader': None})
    for one, other in zip(
        file_images(none, description(), 3), file_images(cfg, description(), 3), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    none = Config({**cfg.to_dict(), 'train_dataloader': None})
    with pytest.raises(CompressionError, match='no train_dataloader'):
        file_images(none, description(), 3)
