"""The ridge found in single precision is that of double precision, also where it is close."""

import numpy as np
import pytest
import torch

from mmdet_lcp.least_squares import fit as fit_module
from mmdet_lcp.least_squares import precision, ridge_search
from mmdet_lcp.least_squares.fit import fit, fit_together
from mmdet_lcp.least_squares.moments import Moments
from mmdet_lcp.least_squares.ridge_search import RIDGES


def moments_of(x, y):
    moments = Moments.zeros(x.shape[1], y.shape[1], torch.device('cpu'))
    moments.add(torch.tensor(x), torch.tensor(y), torch.ones(len(x), dtype=torch.float64))
    return moments


def problem(noise, condition, seed=0, n=24, out=3):
    random = np.random.default_rng(seed)
    mixing = np.linalg.qr(random.normal(size=(n, n)))[0] * np.logspace(0, -condition, n)
    weights = random.normal(size=(n, out)) / np.logspace(0, -condition, n)[:, None]

    def rows(count):
        z = random.normal(size=(count, n))
        return z @ mixing.T, z @ (weights * np.logspace(0, -condition, n)[:, None]) + (
            noise * random.normal(size=(count, out))
        )

    return rows(40), rows(60)


def best_by_numpy(first, held, ridges):
    """Errors on the held-out rows by lstsq on augmented rows, the start at zero."""
    (x, y), (u, v) = ([part - part.mean(0) for part in pair] for pair in (first, held))
    errors = []
    for ridge in ridges:
        root = np.sqrt(ridge * np.mean((x**2).mean(0)) * len(x))
        rows = np.vstack([x, root * np.eye(x.shape[1])])
        kernel = np.linalg.lstsq(rows, np.vstack([y, np.zeros((x.shape[1], y.shape[1]))]))[0]
        errors.append(((v - u @ kernel) ** 2).sum())
    return ridges[int(np.argmin(errors))], errors


@pytest.mark.parametrize('noise', [1e-3, 0.1, 1.0, 30.0])
@pytest.mark.parametrize('condition', [0, 1, 3])
def test_single_precision_finds_the_same_ridge(monkeypatch, noise, condition):
    monkeypatch.setattr(ridge_search, 'SINGLE_FROM', 1)
    first, held = problem(noise, condition)
    expected, errors = best_by_numpy(first, held, RIDGES)
    valley = np.sign(np.diff(errors))
    assert (np.diff(valley) >= 0).all()  # one minimum alone: walking downhill finds it
    found = fit(
        (moments_of(*first), moments_of(*held)),
        torch.arange(24),
        torch.zeros(3, 24),
        'auto',
        True,
    )
    assert found.ridge == expected


@pytest.mark.parametrize('noise', [1e-3, 0.1, 1.0, 30.0])
@pytest.mark.parametrize('condition', [0, 1, 3])
@pytest.mark.parametrize('single_from', [1, 10**6])
def test_mixtures_of_many_outputs_find_the_same_ridge(monkeypatch, noise, condition, single_from):
    """Also with solutions from the factor of another ridge, in single precision."""
    monkeypatch.setattr(ridge_search, 'SINGLE_FROM', single_from)
    monkeypatch.setattr(ridge_search, 'SHIFTED_FROM', 0)
    monkeypatch.setattr(ridge_search, 'MIXTURES', 4)
    sizes = [12, 3, 20]
    first, held = problem(noise, condition, out=sum(sizes))
    pairs, starts, expected, asked = [], [], [], []
    for own in torch.arange(sum(sizes)).split(sizes):
        some = [(x, y[:, own.numpy()]) for x, y in (first, held)]
        pairs.append(tuple(moments_of(*each) for each in some))
        starts.append(torch.zeros(len(own), 24))
        expected.append(best_by_numpy(*some, RIDGES)[0])
    for pair in pairs[1:]:
        for own, shared in zip(pair, pairs[0], strict=True):
            own.xx = shared.xx
    true = fit_module.LeastSquares

    def spy(sets, products, start, intercept):
        asked.append(len(start))
        return true(sets, products, start, intercept)

    monkeypatch.setattr(fit_module, 'LeastSquares', spy)
    found = fit_together(pairs, torch.arange(24), starts, 'auto', True)
    assert [each.ridge for each in found] == expected
    assert asked[1:3] == [11, 11]  # 4 + 3 + 4 columns


def test_where_mixtures_tell_not_all_outputs_are_looked_at(monkeypatch):
    monkeypatch.delattr(ridge_search._Trials, '_all')
    first, held = problem(30.0, 0, out=200)
    found = fit(
        (moments_of(*first), moments_of(*held)),
        torch.arange(24),
        torch.zeros(200, 24),
        'auto',
        True,
    )
    assert found.ridge == best_by_numpy(first, held, RIDGES)[0] == RIDGES[-1]


def test_ridges_that_mixtures_do_not_tell_apart_are_tried_on_all_outputs(monkeypatch):
    """Half of the outputs want a small ridge and half a large one, by about as much."""
    random = np.random.default_rng(5)
    monkeypatch.setattr(ridge_search, 'RIDGES', (1e-2, 1.0))
    x, u = random.normal(size=(12, 8)), random.normal(size=(400, 8))
    weights = random.normal(size=(8, 40)) * np.repeat([1.0, 0.0], 20)
    y, v = x @ weights, u @ weights
    y[:, 20:] = random.normal(size=(12, 20))

    def difference(scale):
        scaled = y * np.repeat([1.0, scale], 20)
        errors = best_by_numpy((x, scaled), (u, v), ridge_search.RIDGES)[1]
        return errors[0] - errors[1]

    low, high = 0.0, 100.0
    assert difference(low) < 0 < difference(high)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if difference(middle) < 0 else (low, middle)
    for scale, expected in ((low * 0.999, 1e-2), (high * 1.001, 1.0)):
        scaled = y * np.repeat([1.0, scale], 20)
        found = fit(
            (moments_of(x, scaled), moments_of(u, v)),
            torch.arange(8),
            torch.zeros(40, 8),
            'auto',
            True,
        )
        assert found.ridge == expected


def test_mixtures_keep_the_sum_of_squares_on_average():
    y = np.random.default_rng(0).normal(size=(500, 205))
    mixing = ridge_search.mixtures([200, 5]).numpy()
    assert mixing.shape == (205, ridge_search.MIXTURES + 5)
    mixed = y @ mixing
    np.testing.assert_array_equal(mixed[:, -5:], y[:, -5:])
    assert (mixed[:, :-5] ** 2).sum() == pytest.approx((y[:, :-5] ** 2).sum(), rel=0.05)
    np.testing.assert_allclose((mixing[:200] ** 2).sum(1), 1)


def test_errors_that_single_precision_cannot_tell_apart_are_taken_in_double(monkeypatch):
    """Rows that the outputs do not depend on at all: every ridge errs alike, but for little."""
    monkeypatch.setattr(ridge_search, 'SINGLE_FROM', 1)
    taken = []
    true = ridge_search.damped_factor

    def spy(problem, ridge, factor):
        taken.append(factor.dtype)
        return true(problem, ridge, factor)

    monkeypatch.setattr(ridge_search, 'damped_factor', spy)
    random = np.random.default_rng(0)
    x, u = random.normal(size=(400, 6)), random.normal(size=(400, 6))
    y, v = (part @ np.ones((6, 2)) for part in (x, u))
    monkeypatch.setattr(ridge_search, 'RIDGES', (1e-10, 1.1e-10))
    fit((moments_of(x, y), moments_of(u, v)), torch.arange(6), torch.zeros(2, 6), 'auto', True)
    assert taken and set(taken) == {torch.float64}


def test_a_matrix_too_bad_for_single_precision_is_factorised_in_double(monkeypatch):
    monkeypatch.setattr('mmdet_lcp.least_squares.fit.SINGLE_FROM', 1)
    random = np.random.default_rng(1)
    x = random.normal(size=(300, 20)) * np.logspace(0, -4, 20)
    x = x @ np.linalg.qr(random.normal(size=(20, 20)))[0]
    y = random.normal(size=(300, 2))
    moments = moments_of(x, y)
    for ridge, dtype in ((1e-1, torch.float32), (1e-7, torch.float64)):
        start = torch.zeros(2, 20)
        found = fit((moments, moments), torch.arange(20), start, ridge, True)
        assert found.factor.dtype == dtype
        centred = x - x.mean(0)
        damped = centred.T @ centred / 300
        damped += ridge * damped.diagonal().mean() * np.eye(20)
        np.testing.assert_allclose(
            found.kernel.T,
            np.linalg.solve(damped, centred.T @ (y - y.mean(0)) / 300),
            rtol=precision.TOLERANCE * 10,
            atol=1e-5 if dtype == torch.float32 else 1e-9,
        )


def test_double_precision_kernels_stay_in_double(monkeypatch):
    monkeypatch.setattr('mmdet_lcp.least_squares.fit.SINGLE_FROM', 1)
    x, y = np.random.default_rng(1).normal(size=(2, 300, 5))
    moments = moments_of(x, y)
    start = torch.zeros(5, 5).double()
    found = fit((moments, moments), torch.arange(5), start, 0.1, True)
    assert found.factor.dtype == torch.float64
