"""Factors in single precision, and how far what they solve is from what double precision gives.

A large matrix is factorised in half the time and half the memory in single precision. How much
that costs in accuracy depends on the matrix; one step of iterative refinement (Wilkinson; Higham,
Accuracy and Stability of Numerical Algorithms, chapter 12) on a few columns tells.
"""

import torch
from torch import Tensor

from mmdet_lcp.least_squares.normal_equations import LeastSquares, damped_factor, solve

SINGLE_FROM = 512  # rows; below, double precision takes no longer
PROBES = 8
TOLERANCE = 1e-4  # relative


def single_factor(problem: LeastSquares, ridge: float) -> tuple[Tensor, float] | None:
    """Cholesky factor in float32 (n, n), lower, and the damping; ``None`` where it fails.

    Args:
        problem: whose damped second moments.
        ridge: see `damped_factor`.
    """
    factor = square(problem, torch.float32)
    used, damping = damped_factor(problem, ridge, factor)
    return (factor, damping) if used == ridge else None


def square(problem: LeastSquares, dtype: torch.dtype) -> Tensor:
    """An (n, n) matrix as LAPACK has them: it works in place."""
    n = len(problem.residual)
    return problem.residual.new_empty((n, n), dtype=dtype).mT


def refined(factor: Tensor, missing: Tensor, found: Tensor) -> Tensor:
    """Solutions of damped equations, one step closer.

    Args:
        factor: of the damped covariances, inexact.
        missing: the right-hand sides less what the solutions give, (n, k) float64.
        found: the solutions, (n, k) float64.
    """
    return found + solve(factor, missing.to(factor.dtype)).to(found)


def good_enough(problem: LeastSquares, factor: Tensor, damping: float) -> bool:
    """Whether the inverse's diagonal is right to `TOLERANCE` in some places, evenly spread."""
    n = len(factor)
    places = torch.arange(0, n, -(-n // PROBES), device=factor.device)
    right = problem.residual.new_zeros((n, len(places)))
    right[places, torch.arange(len(places), device=factor.device)] = 1
    found = solve(factor, right.to(factor.dtype)).to(right)
    missing = right - problem.times(found) - damping * found
    better = refined(factor, missing, found)
    moved = ((better - found) * right).sum(0) / (better * right).sum(0)
    return bool((moved.abs() <= TOLERANCE).all())  # not where it is no number
