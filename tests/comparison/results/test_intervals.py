"""Intervals of a comparison: who is ahead, on the same draws of images."""

import coco_scenes
import numpy as np
import pytest

from mmdet_lcp.comparison.results import intervals
from mmdet_lcp.comparison.results.comparison import FINISHED, CellResult, Comparison
from mmdet_lcp.comparison.results.intervals import (
    DENSE,
    Interval,
    of_cell,
    of_method,
    of_pair,
    read_resampled,
)
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.image_matches import ImageMatches, file_of
from mmdet_lcp.measure.resampled_ap import image_draws


@pytest.fixture(scope='module')
def scenes():
    return coco_scenes.scenes(num_images=8, seed=5)


@pytest.fixture(scope='module')
def comparison(scenes, tmp_path_factory) -> Comparison:
    """Method `good` finds all that `poor` does and more; two seeds of each."""
    data, found = scenes
    folder = tmp_path_factory.mktemp('runs')
    cells = []
    for method, share in (('good', 1.0), ('poor', 0.4)):
        for seed in (0, 1):
            draw = np.random.default_rng(seed)
            kept = [item for item in found if draw.random() < share - 0.05 * seed]
            cell = CellResult(
                method, 0.5, seed, 'ExactUpdate', FINISHED, run_dir=str(folder / f'{method}{seed}')
            )
            save(data, kept, cell.run_dir, 'final')
            cell.final = {'coco/bbox_mAP': 0.1}
            cells.append(cell)
    save(data, found, cells[0].run_dir, 'dense')
    cells[0].dense = {'coco/bbox_mAP': 0.1}
    return Comparison(cells, ['good', 'poor'])


def save(data, found, run_dir, moment):
    ImageMatches.of(coco_scenes.evaluated(data, found)).save(file_of(run_dir, moment))


def test_the_draws_of_a_run_are_those_of_pycocotools(scenes, comparison, monkeypatch):
    found = read_resampled(comparison.cells[0].run_dir, 'final')
    weights = image_draws(8)[17]
    expected = coco_scenes.evaluated(*coco_scenes.repeated(*scenes, weights)).stats[:6]
    assert np.array_equal(found.draws[17], np.where(expected == -1, np.nan, expected), True)
    # a second process reads what the first has computed
    intervals._resampled.cache_clear()
    monkeypatch.setattr(intervals, 'ResampledAP', None)
    again = read_resampled(comparison.cells[0].run_dir, 'final')
    assert np.array_equal(again.draws, found.draws, True)


def test_one_run(comparison):
    draws = read_resampled(comparison.cells[1].run_dir, 'final').draws[:, 0]
    low, high = sorted(draws)[25], sorted(draws)[975]
    found = of_cell(comparison.cells[1], 'final')[0]
    assert found.low == pytest.approx(low, abs=5e-3)
    assert found.high == pytest.approx(high, abs=5e-3)
    assert found.low < found.value < found.high


def test_a_mean_over_seeds(comparison):
    of_one = [of_cell(cell, 'final')[0] for cell in comparison.of('poor', 0.5)]
    found = of_method(comparison, 'poor', 0.5, 'final')[0]
    assert found.value == pytest.approx((of_one[0].value + of_one[1].value) / 2)
    runs = [read_resampled(c.run_dir, 'final').draws[:, 0] for c in comparison.of('poor', 0.5)]
    # Each draw of two seeds is the first twice, the second twice or both, 1 : 1 : 2.
    every = np.concatenate([runs[0], runs[1], *2 * [np.mean(runs, axis=0)]])
    low, high = np.percentile(every, [2.5, 97.5])
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


def test_a_pair(comparison):
    found = of_pair(comparison, 'poor', 'good', 0.5, 'final')[0]
    means = [of_method(comparison, name, 0.5, 'final')[0] for name in ('poor', 'good')]
    assert found.value == pytest.approx(means[0].value - means[1].value)
    assert found.high < 0 and found.words().startswith('behind by ')
    # narrower than two sets of images drawn apart would make it
    width = [item.high - item.low for item in (found, *means)]
    assert width[0] < np.hypot(*width[1:])
    turned = of_pair(comparison, 'good', 'poor', 0.5, 'final')[0]
    assert turned.words().startswith('ahead by ') and turned.low > 0


def test_a_method_against_itself_is_level(comparison):
    own = Comparison([comparison.cells[1]], ['good'])
    found = of_pair(own, 'good', 'good', 0.5, 'final')[0]
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert found.words() == 'level: +0.0 [+0.0, +0.0]'


def test_the_dense_detector(comparison):
    found = of_pair(comparison, 'good', DENSE, 0.5, 'final')[0]
    dense = of_method(comparison, DENSE, 0.5, DENSE)[0]
    assert dense.value == of_cell(comparison.cells[0], 'final')[0].value
    assert found.low <= 0 <= found.high


def test_not_kept(comparison):
    """Runs of before, and some of a method's runs; other images cannot be compared."""
    old = CellResult('old', 0.5, 0, 'ExactUpdate', FINISHED)
    mixed = Comparison([*comparison.cells, old], ['good', 'poor', 'old'])
    assert of_cell(old, 'final') is None
    assert of_method(mixed, 'old', 0.5, 'final') is None
    assert of_pair(mixed, 'old', 'good', 0.5, 'final') is None
    assert of_method(comparison, 'good', 0.5, 'selected') is None
    half = Comparison([*comparison.cells, CellResult('good', 0.5, 2, None, FINISHED)], ['good'])
    assert of_method(half, 'good', 0.5, 'final') is None


def test_other_images(comparison, tmp_path):
    save(*coco_scenes.scenes(num_images=7), tmp_path, 'final')
    other = CellResult('other', 0.5, 0, None, FINISHED, run_dir=str(tmp_path))
    mixed = Comparison([*comparison.cells, other], ['good', 'other'])
    assert of_method(mixed, 'other', 0.5, 'final') is not None
    assert of_pair(mixed, 'other', 'good', 0.5, 'final') is None


def test_a_damaged_file_is_named(tmp_path):
    path = file_of(tmp_path, 'final')
    path.parent.mkdir()
    path.write_bytes(b'no archive')
    with pytest.raises(CompressionError, match=r'final\.npz is damaged'):
        read_resampled(tmp_path, 'final')


@pytest.mark.parametrize(
    ('ends', 'words'),
    [
        ((0.012, 0.004, 0.02), 'ahead by 1.2 [0.4, 2.0]'),
        ((-0.012, -0.02, -0.004), 'behind by 1.2 [0.4, 2.0]'),
        ((0.003, -0.004, 0.01), 'level: +0.3 [−0.4, +1.0]'),
    ],
)
def test_words(ends, words):
    assert Interval(*ends).words() == words
    assert str(Interval(0.5, 0.45, 0.55)) == '[0.450, 0.550]'
