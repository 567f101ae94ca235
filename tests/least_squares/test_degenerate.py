"""Data that say too little: fewer samples than rows, dead channels, inputs that never change."""

import numpy as np
import pytest
import torch

from mmdet_lcp.least_squares.fit import fit
from mmdet_lcp.least_squares.moments import Moments
from mmdet_lcp.least_squares.ridge_search import RIDGES


def moments_of(x: np.ndarray, y: np.ndarray) -> Moments:
    moments = Moments.zeros(x.shape[1], y.shape[1], torch.device('cpu'))
    moments.add(torch.tensor(x), torch.tensor(y), torch.ones(len(x), dtype=torch.float64))
    return moments


def by_numpy(x: np.ndarray, y: np.ndarray, start: np.ndarray, ridge: float) -> np.ndarray:
    """min mean |y - W x - b|^2 + r s |W - W_start|^2, by the pseudo-inverse of stacked rows.

    s is the mean variance of the rows.
    """
    x, y = x - x.mean(0), y - y.mean(0)
    root = np.sqrt(ridge * (x**2).mean() * len(x))
    change = np.linalg.pinv(np.vstack([x, root * np.eye(x.shape[1])])) @ np.vstack(
        [y - x @ start.T, np.zeros((x.shape[1], y.shape[1]))]
    )
    return start + change.T


@pytest.fixture
def start() -> np.ndarray:
    return np.random.default_rng(9).normal(size=(2, 6))


def solve(x: np.ndarray, y: np.ndarray, start: np.ndarray, ridge: float | str = 1e-3):
    moments = moments_of(x, y)
    return fit((moments, moments), torch.arange(6), torch.tensor(start), ridge, True)


@pytest.mark.parametrize('ridge', RIDGES)
@pytest.mark.parametrize('count', [2, 4, 6])
def test_fewer_samples_than_rows(count, ridge, start):
    random = np.random.default_rng(count)
    x, y = random.normal(size=(count, 6)), random.normal(size=(count, 2))
    found = solve(x, y, start, ridge)
    np.testing.assert_allclose(found.kernel, by_numpy(x, y, start, ridge), atol=1e-7)
    assert 0 <= found.after <= found.before


def test_rows_that_are_copies(start):
    """Two channels that are always alike share the change equally."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 6)), random.normal(size=(40, 2))
    x[:, 4] = x[:, 1]
    found = solve(x, y, start, 1e-5)
    np.testing.assert_allclose(found.kernel, by_numpy(x, y, start, 1e-5), atol=1e-7)
    change = found.kernel.numpy() - start
    np.testing.assert_allclose(change[:, 4], change[:, 1], atol=1e-7)


@pytest.mark.parametrize('value', [0.0, -3.0])
@pytest.mark.parametrize('ridge', [1e-3, 'auto'])
def test_dead_and_constant_channels_keep_their_kernels(value, ridge, start):
    random = np.random.default_rng(1)
    x, y = random.normal(size=(40, 6)), random.normal(size=(40, 2))
    x[:, [0, 3]] = value
    found = solve(x, y, start, ridge)
    np.testing.assert_allclose(found.kernel[:, [0, 3]], start[:, [0, 3]], atol=1e-12)
    np.testing.assert_allclose(found.kernel, by_numpy(x, y, start, found.ridge), atol=1e-9)


@pytest.mark.parametrize('value', [0.0, 5.0])
@pytest.mark.parametrize('ridge', [1e-3, 'auto'])
def test_inputs_that_never_change(value, ridge, start):
    """A black image, or all of one colour: the intercept takes the mean, the kernel stays."""
    y = np.random.default_rng(2).normal(size=(40, 2)) + 7
    found = solve(np.full((40, 6), value), y, start, ridge)
    np.testing.assert_allclose(found.kernel, start, atol=1e-9)
    mean = found.kernel.numpy() @ np.full(6, value) + found.intercept.numpy()
    np.testing.assert_allclose(mean, y.mean(0), atol=1e-9)
    assert found.after == pytest.approx(y.var(0).mean(), rel=1e-9)
