"""Least squares against NumPy and scikit-like closed forms by hand."""

import numpy as np
import pytest
import torch

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.least_squares.fit import fit
from mmdet_lcp.least_squares.moments import Moments
from mmdet_lcp.least_squares.normal_equations import LeastSquares, damped_factor
from mmdet_lcp.least_squares.ridge_search import RIDGES


def moments_of(x, y):
    moments = Moments.zeros(x.shape[1], y.shape[1], torch.device('cpu'))
    moments.add(torch.tensor(x), torch.tensor(y), torch.ones(len(x), dtype=torch.float64))
    return moments


def ridge_by_augmentation(x, y, start, ridge):
    """The same minimum as an ordinary least squares with extra rows, by numpy.linalg.lstsq."""
    x, y = x - x.mean(0), y - y.mean(0)
    root = np.sqrt(ridge * np.mean((x**2).mean(0)) * len(x))
    rows = np.vstack([x, root * np.eye(x.shape[1])])
    targets = np.vstack([y, root * start.T])
    return np.linalg.lstsq(rows, targets, rcond=None)[0].T


def data(count, noise, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 6)) + 1.0
    y = x @ random.normal(size=(6, 2)) + noise * random.normal(size=(count, 2)) + 3.0
    return x, y


def test_ridge_pulls_towards_the_start():
    x, y = data(40, 0.3)
    start = np.random.default_rng(1).normal(size=(2, 6))
    moments = moments_of(x, y)
    found = fit((moments, moments), torch.arange(6), torch.tensor(start), 0.2, True)
    np.testing.assert_allclose(found.kernel, ridge_by_augmentation(x, y, start, 0.2), atol=1e-10)
    residual = y - x @ found.kernel.numpy().T - found.intercept.numpy()
    np.testing.assert_allclose(residual.mean(0), 0, atol=1e-10)
    assert found.after == pytest.approx((residual**2).mean())
    assert found.after < found.before


@pytest.mark.parametrize('noise', [0.01, 10.0])
def test_auto_takes_the_ridge_with_the_smallest_error_on_held_out_rows(noise):
    fit_on, held = data(12, noise), data(60, noise)
    start = np.zeros((2, 6))

    def error(ridge):
        kernel = ridge_by_augmentation(*fit_on, start, ridge)
        residual = (held[1] - held[1].mean(0)) - (held[0] - held[0].mean(0)) @ kernel.T
        return (residual**2).sum()

    best = min(RIDGES, key=error)
    parts = moments_of(*fit_on), moments_of(*held)
    found = fit(parts, torch.arange(6), torch.tensor(start), 'auto', True)
    assert found.ridge == best
    both = [np.vstack(pair) for pair in zip(fit_on, held, strict=True)]
    np.testing.assert_allclose(found.kernel, ridge_by_augmentation(*both, start, best), atol=1e-10)


def test_moments_too_inexact_for_their_ridge_get_a_larger_one():
    """Single precision may leave an eigenvalue below zero: here -0.02 against variances of 1."""
    x = torch.eye(3, dtype=torch.float64)
    x[0, 1] = x[1, 0] = 1.02
    zeros = torch.zeros(3, dtype=torch.float64)
    moments = Moments(zeros[0] + 1, zeros, zeros[:1], x, torch.zeros(3, 1).double(), zeros[:1])
    problem = LeastSquares([moments], [torch.zeros(3, 1)], torch.zeros(1, 3).double(), True)
    factor = torch.empty(3, 3, dtype=torch.float64).mT
    ridge, damping = damped_factor(problem, 1e-4, factor)
    assert ridge == damping == pytest.approx(1e-1)  # 0.01 is not enough
    torch.testing.assert_close(factor @ factor.T, x + 0.1 * torch.eye(3, dtype=torch.float64))


def weighted(random, count):
    return (
        random.normal(size=(count, 4)) + 2,
        random.normal(size=(count, 3)),
        random.uniform(0, 2, count),
    )


@pytest.mark.parametrize('intercept', [True, False])
def test_covariances_and_errors_of_two_sets_equal_numpy(intercept):
    random = np.random.default_rng(3)
    sets = [weighted(random, 30), weighted(random, 20)]
    moments = []
    for some in sets:
        moments.append(Moments.zeros(4, 3, torch.device('cpu')))
        moments[-1].add(*(torch.tensor(value) for value in some))
    x, y, w = (np.concatenate(values) for values in zip(*sets, strict=True))
    start, change = random.normal(size=(3, 4)), random.normal(size=(4, 3))
    products = [some.xx @ torch.tensor(start.T) for some in moments]
    found = LeastSquares(moments, products, torch.tensor(start), intercept)
    both = np.hstack([x, y])
    expected = (both * w[:, None]).T @ both / w.sum()
    if intercept:
        expected = np.cov(both.T, aweights=w, ddof=0)
    covariances = found.covariances(torch.empty(4, 4, dtype=torch.float64))
    np.testing.assert_allclose(covariances, expected[:4, :4], atol=1e-12)
    np.testing.assert_allclose(found.variance, expected[4:, 4:].diagonal(), atol=1e-12)
    residual = expected[:4, 4:] - expected[:4, :4] @ start.T
    np.testing.assert_allclose(found.residual, residual, atol=1e-12)
    changed = found.errors(torch.tensor(change))
    some = torch.tensor([2, 0, 2])
    np.testing.assert_allclose(found.errors(torch.tensor(change)[:, some], some), changed[some])
    for errors, kernel in ((found.before, start), (changed, start + change.T)):
        rest = y - x @ kernel.T
        if intercept:
            rest -= np.average(rest, axis=0, weights=w)
        np.testing.assert_allclose(errors, np.average(rest**2, axis=0, weights=w), atol=1e-12)


@pytest.mark.parametrize('intercept', [True, False])
def test_some_rows_alone(intercept):
    x, y = data(40, 0.3)
    start = torch.randn(2, 3, dtype=torch.float64)
    kept = [1, 2, 5]
    moments, alone = moments_of(x, y), moments_of(x[:, kept], y)
    found = fit((moments, moments), torch.tensor(kept), start, 'auto', intercept)
    expected = fit((alone, alone), torch.arange(3), start, 'auto', intercept)
    torch.testing.assert_close(found.kernel, expected.kernel)
    assert found.ridge == expected.ridge
    rest = y - x[:, kept] @ found.kernel.numpy().T - found.intercept.numpy()
    assert found.after == pytest.approx((rest**2).mean())


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
@pytest.mark.parametrize('ridge', [1e-3, 'auto'])
def test_moments_that_are_no_numbers_end_in_words(bad, ridge):
    x, y = data(40, 0.3)
    moments = moments_of(x, y)
    moments.xx[1, 1] = bad
    start = torch.zeros(2, 6, dtype=torch.float64)
    with pytest.raises(CompressionError, match='second moments of a layer are not finite'):
        fit((moments, moments), torch.arange(6), start, ridge, True)
