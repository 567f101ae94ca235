"""The inverse from a Cholesky factor against NumPy."""

import numpy as np
import pytest
import torch

from mmdet_lcp.least_squares import inverse


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
@pytest.mark.parametrize('least', [1, 1000])  # by tiles, and by LAPACK
@pytest.mark.parametrize('n', [3, 8, 9, 31])
def test_inverse_from_factor(monkeypatch, n, least, dtype):
    """Tiles that do and do not divide the rows; what is above the diagonal is not looked at."""
    monkeypatch.setattr(inverse, 'TILE', 4)
    monkeypatch.setattr(inverse, 'LEAST', least)
    root = np.random.default_rng(n).normal(size=(n, n + 5))
    matrix = root @ root.T
    factor = torch.tensor(np.linalg.cholesky(matrix) + np.triu(np.full((n, n), 7.0), 1))
    factor = factor.to(dtype).T.contiguous().T
    found = inverse.inverse_from_factor(factor)
    assert found.data_ptr() == factor.data_ptr()
    tolerance = 1e-10 if dtype == torch.float64 else 2e-3
    np.testing.assert_allclose(found @ torch.tensor(matrix).to(dtype), np.eye(n), atol=tolerance)
    torch.testing.assert_close(found, found.T)
