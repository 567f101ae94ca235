"""Solutions for other dampings, against NumPy's solve."""

import numpy as np
import pytest
import torch

from mmdet_lcp.least_squares.shifted import shifted_solutions


def damped(n, condition, damping, seed=0):
    random = np.random.default_rng(seed)
    vectors = np.linalg.qr(random.normal(size=(n, n)))[0]
    matrix = (vectors * np.logspace(0, -condition, n)) @ vectors.T
    right = random.normal(size=(n, 3))
    factor = np.linalg.cholesky(matrix + damping * np.eye(n))
    return matrix, right, torch.tensor(factor)


@pytest.mark.parametrize('condition', [0, 2, 8])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
def test_neighbouring_dampings_in_few_steps(condition, dtype):
    matrix, right, factor = damped(60, condition, 1e-2)
    shifts = [1e-3 - 1e-2, 0.0, 1e-1 - 1e-2]
    found = shifted_solutions(factor.to(dtype), torch.tensor(right).to(dtype), shifts, 1e-6, 26)
    for shift, solution in zip(shifts, found, strict=True):
        expected = np.linalg.solve(matrix + (1e-2 + shift) * np.eye(60), right)
        error = np.linalg.norm(solution.numpy() - expected, axis=0)
        assert (error < 1e-4 * np.linalg.norm(expected, axis=0)).all()


def test_too_few_steps_are_told():
    _, right, factor = damped(60, 4, 1e-2)
    found = shifted_solutions(factor, torch.tensor(right), [9e-2, 1e-9, -9.999e-3], 1e-8, 2)
    assert [solution is None for solution in found] == [True, False, True]


def test_columns_of_zeros_and_of_one_direction():
    """Lanczos' method ends at once: nothing is left to go on with."""
    matrix, _, factor = damped(10, 2, 1e-2)
    vector = np.linalg.eigh(matrix)[1][:, 3]
    right = np.stack([np.zeros(10), vector], 1)
    (found,) = shifted_solutions(factor, torch.tensor(right), [0.5], 1e-9, 10)
    expected = np.linalg.solve(matrix + 0.51 * np.eye(10), right)
    np.testing.assert_allclose(found, expected, atol=1e-9)
