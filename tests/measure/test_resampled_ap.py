"""mAP with weights of images, against pycocotools on data sets that really repeat them."""

import coco_scenes
import numpy as np
import pytest

from mmdet_lcp.measure.image_matches import ImageMatches
from mmdet_lcp.measure.resampled_ap import METRICS, ResampledAP, image_draws


def figures_of(evaluation) -> np.ndarray:
    """COCO's summary, with NaN for -1."""
    first = evaluation.stats[:6]
    return np.where(first == -1, np.nan, first)


@pytest.fixture(scope='module')
def scenes():
    return coco_scenes.scenes(num_images=12, seed=3)


@pytest.fixture(scope='module')
def resampled(scenes):
    return ResampledAP(ImageMatches.of(coco_scenes.evaluated(*scenes)))


def test_each_image_once(scenes, resampled):
    found = resampled.metrics(np.ones(12))
    assert np.array_equal(found, figures_of(coco_scenes.evaluated(*scenes)))
    assert len(found) == len(METRICS) and found[0] > 0.05


@pytest.mark.parametrize('seed', range(6))
def test_images_that_are_repeated(scenes, resampled, seed):
    """To the last bit; some draws lack images altogether."""
    weights = image_draws(12, 1, seed)[0]
    assert weights.sum() == 12 and 0 in weights and weights.max() > 1
    expected = figures_of(coco_scenes.evaluated(*coco_scenes.repeated(*scenes, weights)))
    assert np.array_equal(resampled.metrics(weights), expected)
    assert not np.array_equal(expected, resampled.metrics(np.ones(12)))


def test_a_draw_without_a_class_and_without_a_size(scenes, resampled):
    """It does not count in the mean there, as in pycocotools."""
    matches = resampled.matches
    for weights in np.eye(12, dtype=int):
        present = (matches.objects[:, :] @ weights) > 0
        expected = figures_of(coco_scenes.evaluated(*coco_scenes.repeated(*scenes, weights)))
        found = resampled.metrics(weights)
        assert np.array_equal(found, expected, equal_nan=True)
        assert np.array_equal(np.isnan(found[3:]), ~present[:, 1:].any(axis=0))
    assert np.isnan(found).any() or not present.all()


def test_more_than_100_detections_on_an_image():
    """mAP counts 100 of a class and image, the others as many as the evaluation takes."""
    data, found = coco_scenes.scenes(3, seed=1)
    draw = np.random.default_rng(0)
    image, kind = found[0]['image_id'], found[0]['category_id']
    found += [
        dict(
            image_id=image,
            category_id=kind,
            bbox=[float(draw.uniform(0, 300)), 300.0, 20.0, 20.0],
            score=float(np.float32(0.9 + 1e-4 * n)),
        )
        for n in range(110)
    ]
    evaluation = coco_scenes.evaluated(data, found)
    once = ResampledAP(ImageMatches.of(evaluation))
    assert np.array_equal(once.metrics(np.ones(3)), figures_of(evaluation), equal_nan=True)
    every = ResampledAP(ImageMatches.of(coco_scenes.evaluated(data, found, (1, 10, 100))))
    assert once.metrics(np.ones(3))[1] != every.metrics(np.ones(3))[1]


def test_draws():
    draws = image_draws(5, 4000)
    assert draws.shape == (4000, 5) and (draws.sum(axis=1) == 5).all()
    assert np.array_equal(draws, image_draws(5, 4000))
    assert draws.mean(axis=0) == pytest.approx([1] * 5, abs=0.1)
    assert draws.var(axis=0) == pytest.approx([0.8] * 5, abs=0.1)  # n p (1 - p)


def test_many_draws_are_rows(resampled):
    draws = image_draws(12, 3)
    rows = resampled.resampled(draws)
    assert rows.shape == (3, 6)
    assert np.array_equal(rows[1], resampled.metrics(draws[1]), equal_nan=True)
