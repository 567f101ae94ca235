"""Comparison of numbers in double precision."""

import torch


def close(found, expected, tolerance=1e-10):
    """Assert that numbers, lists or tensors agree in double precision."""
    torch.testing.assert_close(
        torch.as_tensor(found, dtype=torch.float64),
        torch.as_tensor(expected, dtype=torch.float64),
        rtol=tolerance,
        atol=tolerance,
    )
