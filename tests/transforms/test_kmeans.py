"""k-means against an exhaustive search, a plain Lloyd's algorithm, and scikit-learn's error."""

import itertools

import numpy as np
import pytest
import torch

from mmdet_lcp.transforms.kmeans import initial_centroids, kmeans


def plain_lloyd(values: np.ndarray, centroids: np.ndarray, steps: int) -> np.ndarray:
    """The textbook: all distances, means of the members, empty clusters left out."""
    for _ in range(steps):
        nearest = np.abs(values[:, None] - centroids[None]).argmin(1)
        moved = np.array([values[nearest == k].mean() for k in np.unique(nearest)])
        if len(moved) == len(centroids) and np.allclose(moved, centroids, rtol=0, atol=0):
            break
        centroids = moved
    return centroids


@pytest.mark.parametrize('init', ['linear', 'density', 'random'])
@pytest.mark.parametrize('count', [2, 5, 16])
def test_equals_plain_lloyd(init, count):
    values = torch.randn(400, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    start = initial_centroids(values.sort().values, count, init, seed=3)
    expected = plain_lloyd(values.numpy(), start.numpy(), 300)
    centroids, index = kmeans(values, count, init, seed=3)
    assert np.allclose(centroids.numpy(), expected, atol=1e-10)
    nearest = (values[:, None] - centroids[None]).abs()
    chosen = nearest.gather(1, index[:, None]).flatten()
    assert torch.allclose(chosen, nearest.min(1).values, atol=1e-12)


def test_finds_the_optimum_of_well_separated_values():
    """Exhaustive search over all ways to cut nine sorted numbers into three ranges."""
    values = torch.tensor([0.0, 0.1, 0.2, 5.0, 5.1, 5.3, 9.0, 9.4, 9.5], dtype=torch.float64)
    best = min(
        sum(float((part - part.mean()).square().sum()) for part in values.tensor_split(cut))
        for cut in itertools.combinations(range(1, 9), 2)
    )
    centroids, index = kmeans(values, 3)
    assert float((values - centroids[index]).square().sum()) == pytest.approx(best)


def test_beginnings():
    values = torch.tensor([0.0, 1.0, 1.0, 1.0, 10.0], dtype=torch.float64)
    assert initial_centroids(values, 3, 'linear').tolist() == [0, 5, 10]
    assert initial_centroids(values, 5, 'density').tolist() == values.tolist()
    drawn = initial_centroids(values, 2, 'random', seed=1)
    assert torch.equal(drawn, initial_centroids(values, 2, 'random', seed=1))
    assert set(drawn.tolist()) <= set(values.tolist())


@pytest.mark.parametrize('values', [[3.0], [2.0, 2.0, 2.0], [1.0, -1.0, 1.0]])
def test_few_different_values_are_kept_exactly(values):
    values = torch.tensor(values)
    centroids, index = kmeans(values, 4)
    assert torch.equal(centroids[index], values)


def test_shape_type_and_empty_clusters():
    values = torch.cat([torch.zeros(50), torch.full((2,), 100.0), torch.arange(8.0) / 100])
    values = values.view(6, 10)
    centroids, index = kmeans(values, 5, 'linear')
    assert centroids.dtype == values.dtype and index.shape == values.shape
    assert len(index.unique()) == len(centroids) <= 5


@pytest.mark.parametrize('init', ['linear', 'random'])
@pytest.mark.parametrize('count', [7, 15, 31])
def test_empty_clusters_begin_again(init, count):
    """Pruned weights: nothing around zero, where a linear beginning puts centroids."""
    values = torch.randn(4000, generator=torch.Generator().manual_seed(count))
    values = values[values.abs() > 1.6]
    few, index = kmeans(values, count, init)
    all_of_them, other = kmeans(values, count, init, refill=True)
    assert len(all_of_them) == count
    error = float((few[index] - values).square().sum())
    refilled = float((all_of_them[other] - values).square().sum())
    assert refilled == error if len(few) == count else refilled < error
    if init == 'linear':
        assert len(few) < count and refilled < 0.9 * error
    # a fixed point of Lloyd's algorithm: each centroid is the mean of its members
    for k in range(count):
        assert float(all_of_them[k]) == pytest.approx(float(values[other == k].mean()), abs=1e-5)
    nearest = (values[:, None] - all_of_them).abs().argmin(1)
    assert float((all_of_them[nearest] - all_of_them[other]).abs().max()) < 1e-5


def test_refilling_ends_where_values_are_few():
    values = torch.tensor([0.0] * 50 + [1.0] * 50 + [9.0, 9.5])
    centroids, _ = kmeans(values, 3, refill=True)
    assert centroids.tolist() == [0.0, 1.0, 9.25]
    centroids, _ = kmeans(values, 40, refill=True)
    assert centroids.tolist() == [0.0, 1.0, 9.0, 9.5]
