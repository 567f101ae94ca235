"""Single precision: told apart where it is good enough and where not."""

import numpy as np
import pytest
import torch

from mmdet_lcp.least_squares.moments import Moments
from mmdet_lcp.least_squares.normal_equations import LeastSquares, damped_factor, solve
from mmdet_lcp.least_squares.precision import (
    TOLERANCE,
    good_enough,
    refined,
    single_factor,
    square,
)

N = 24


def problem(condition: float) -> LeastSquares:
    """Rows whose second moments have this condition number."""
    random = np.random.default_rng(0)
    turned = np.linalg.qr(random.normal(size=(N, N)))[0]
    x = torch.tensor(
        random.normal(size=(400, N))
        @ np.diag(np.logspace(0, -0.5 * np.log10(condition), N))
        @ turned.T
    )
    moments = Moments.zeros(N, 1, torch.device('cpu'))
    moments.add(x, x[:, :1], torch.ones(400, dtype=torch.float64))
    start = torch.zeros(1, N, dtype=torch.float64)
    return LeastSquares([moments], [moments.xx @ start.T], start, False)


@pytest.mark.parametrize(('condition', 'good'), [(1e1, True), (1e2, True), (1e10, False)])
def test_told_apart(condition, good):
    """The diagonal of the inverse in double precision says which."""
    given = problem(condition)
    factor, damping = single_factor(given, 1e-6)
    covariances = given.covariances(square(given, torch.float64))
    exact = torch.linalg.inv(covariances + damping * torch.eye(N)).diagonal()
    single = solve(factor, torch.eye(N)).diagonal().double()
    error = ((single - exact) / exact).abs().max()
    assert good_enough(given, factor, damping) == good == bool(error <= TOLERANCE)


def test_where_it_fails():
    """A matrix that single precision takes for indefinite at this ridge."""
    assert single_factor(problem(1e13), 1e-15) is None


def test_a_step_of_refinement():
    given = problem(1e4)
    factor, damping = single_factor(given, 1e-10)
    right = torch.randn(N, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = solve(factor, right.float()).double()
    exact_factor = square(given, torch.float64)
    damped_factor(given, 1e-10, exact_factor)
    exact = solve(exact_factor, right)
    better = refined(factor, right - given.times(found) - damping * found, found)
    before, after = ((one - exact).norm() / exact.norm() for one in (found, better))
    assert after < 0.01 * before


def test_a_matrix_as_lapack_has_them():
    made = square(problem(10), torch.float32)
    assert made.shape == (N, N) and made.mT.is_contiguous() and made.dtype == torch.float32
