"""Normal equations from moments, against NumPy on the rows themselves."""

import numpy as np
import pytest
import torch

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.least_squares import normal_equations
from mmdet_lcp.least_squares.moments import Moments
from mmdet_lcp.least_squares.normal_equations import LeastSquares, damped_factor, solve, sum_times

N, OUT = 7, 3


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    mixing = random.normal(size=(N, N))
    x = random.normal(size=(90, N)) @ mixing + random.normal(size=N)
    y = x @ random.normal(size=(N, OUT)) + random.normal(size=(90, OUT)) + 2
    return x, y, random.normal(size=(OUT, N))


def problem_of(x, y, start, intercept, parts=2):
    """From some sets of moments, as fit and held-out images give them."""
    sets = []
    for part_x, part_y in zip(np.array_split(x, parts), np.array_split(y, parts), strict=True):
        moments = Moments.zeros(N, OUT, torch.device('cpu'))
        weights = torch.ones(len(part_x), dtype=torch.float64)
        moments.add(torch.tensor(part_x), torch.tensor(part_y), weights)
        sets.append(moments)
    kernel = torch.tensor(start)
    return LeastSquares(sets, [some.xx @ kernel.T for some in sets], kernel, intercept)


@pytest.mark.parametrize('intercept', [True, False])
def test_against_numpy(rows, intercept):
    x, y, start = rows
    problem = problem_of(x, y, start, intercept)
    if intercept:
        x, y = x - x.mean(0), y - y.mean(0)
    errors = y - x @ start.T
    np.testing.assert_allclose(problem.residual.numpy(), x.T @ errors / 90)
    np.testing.assert_allclose(problem.variance.numpy(), (y**2).mean(0))
    np.testing.assert_allclose(problem.before.numpy(), (errors**2).mean(0))
    found = problem.covariances(torch.empty(N, N, dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), x.T @ x / 90)


@pytest.mark.parametrize('intercept', [True, False])
def test_a_ridge(rows, intercept):
    """The change that minimises |errors - x c|^2 / 90 + damping |c|^2, and its error."""
    x, y, start = rows
    problem = problem_of(x, y, start, intercept)
    factor = torch.empty(N, N, dtype=torch.float64).mT
    ridge, damping = damped_factor(problem, 0.1, factor)
    if intercept:
        x, y = x - x.mean(0), y - y.mean(0)
    assert ridge == 0.1 and damping == pytest.approx(0.1 * (x**2).mean())
    wide = np.vstack([x, np.sqrt(90 * damping) * np.eye(N)])
    errors = y - x @ start.T
    change = np.linalg.lstsq(wide, np.vstack([errors, np.zeros((N, OUT))]))[0]
    found = problem.solve(factor)
    np.testing.assert_allclose(found.numpy(), change, rtol=1e-8)
    left = ((errors - x @ change) ** 2).mean(0)
    np.testing.assert_allclose(problem.errors(found).numpy(), left, rtol=1e-8)
    some = problem.errors(found[:, [2, 0]], torch.tensor([2, 0]))
    np.testing.assert_allclose(some.numpy(), left[[2, 0]], rtol=1e-8)


def test_a_ridge_that_is_too_small_grows(rows):
    """Two equal inputs, and a matrix that rounding has made indefinite."""
    x, y, start = rows
    problem = problem_of(x, y, start, False, parts=1)
    spoilt = problem._matrices[0]
    spoilt -= 1.5 * float(torch.linalg.eigvalsh(spoilt)[0]) * torch.eye(N)
    least = -float(torch.linalg.eigvalsh(spoilt / 90)[0])
    factor = torch.empty(N, N, dtype=torch.float64).mT
    ridge, damping = damped_factor(problem, 1e-12, factor)
    assert ridge > 1e-12 and damping > least
    assert np.log10(ridge / 1e-12) == pytest.approx(round(np.log10(ridge / 1e-12)))


def test_moments_that_are_no_numbers(rows):
    x, y, start = rows
    x[3, 2] = np.inf
    problem = problem_of(x, y, start, False)
    with pytest.raises(CompressionError, match='not finite'):
        damped_factor(problem, 0.1, torch.empty(N, N, dtype=torch.float64).mT)


def test_products_with_a_sum(monkeypatch):
    monkeypatch.setattr(normal_equations, 'TILE', 3)
    torch.manual_seed(0)
    one, two, change = torch.randn(8, 8).double(), torch.randn(8, 8).double(), torch.randn(8, 2)
    expected = (one + two).float() @ change
    torch.testing.assert_close(sum_times([one, two], change), expected)


def test_solve():
    torch.manual_seed(0)
    rows = torch.randn(20, 5).double()
    square = rows.T @ rows
    right = torch.randn(5, 2).double()
    found = solve(torch.linalg.cholesky(square), right)
    torch.testing.assert_close(square @ found, right)
