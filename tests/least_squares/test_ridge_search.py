"""The ridge found in single precision is that of double precision, also where it is close."""

import numpy as np
import pytest
import torch

from mmdet_lcp.least_squares import precision, ridge_search
from mmdet_lcp.least_squares.fit import fit
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


def test_errors_that_single_precision_cannot_tell_apart_are_taken_in_double(monkeypatch):
    """Rows that the outputs do not depend on at all: every ridge errs alike, but for little."""
    monkeypatch.setattr(ridge_search, 'SINGLE_FROM', 1)
    taken = []
    true = ridge_search._Trials._in_double

    def spy(self, number):
        taken.append(number)
        return true(self, number)

    monkeypatch.setattr(ridge_search._Trials, '_in_double', spy)
    random = np.random.default_rng(0)
    x, u = random.normal(size=(400, 6)), random.normal(size=(400, 6))
    y, v = (part @ np.ones((6, 2)) for part in (x, u))
    monkeypatch.setattr(ridge_search, 'RIDGES', (1e-10, 1.1e-10))
    fit((moments_of(x, y), moments_of(u, v)), torch.arange(6), torch.zeros(2, 6), 'auto', True)
    assert taken


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
