"""Least squares with a ridge whose strength is chosen on held-out images."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mmdet_lcp.config.checks import check_positive
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.least_squares.moments import Covariances, Moments

# Relative to the mean variance of the rows.
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


def check_ridge(where: str, ridge: float | str) -> None:
    """Raise a CompressionError unless ``ridge`` is ``'auto'`` or a number > 0."""
    if isinstance(ridge, str):
        if ridge != 'auto':
            raise CompressionError(f"{where}={ridge!r} must be a number > 0, or 'auto'")
        return
    check_positive(where, ridge)


@dataclass
class Fit:
    """A solution of least squares.

    Attributes:
        kernel: (out, n).
        intercept: (out,); zeros where nothing takes it up.
        ridge: relative strength of the ridge.
        before: mean squared error with the kernel that it began with, over the outputs' mean.
        after: with the solution.
        factor: Cholesky factor of the damped second moments, (n, n), lower.
        variance: of each output, (out,).
    """

    kernel: Tensor
    intercept: Tensor
    ridge: float
    before: float
    after: float
    factor: Tensor
    variance: Tensor


def fit(
    moments: tuple[Moments, Moments],
    rows: Tensor,
    start: Tensor,
    ridge: float | str,
    intercept: bool,
) -> Fit:
    """Minimise sum_i w_i ||y_i - W x_i - b||^2 / sum_i w_i + r ||W - W_start||^2.

    The ridge pulls towards the kernel that is there: directions that the data do not show keep
    it. With ``'auto'``, r is the one of `RIDGES` whose fit on the first moments has the smallest
    error on the second; the solution is then taken on both together.

    Args:
        moments: to fit on, and held out.
        rows: columns of the flattened kernel that may change.
        start: (out, len(rows)) float64, the kernel that is there.
        ridge: r over the mean variance of the rows, or ``'auto'``.
        intercept: whether b is free, or zero.
    """
    both = moments[0] if moments[0] is moments[1] else moments[0] + moments[1]
    total = both.covariances(intercept).rows(rows)
    if ridge == 'auto':
        part = moments[0].covariances(intercept).rows(rows)
        held = moments[1].covariances(intercept).rows(rows)
        errors = {}
        for candidate in RIDGES:
            factor, used = damped_factor(part, candidate)
            errors.setdefault(used, float(held.errors(_solve(part, factor, start)).sum()))
        ridge = min(errors, key=errors.get)
    factor, ridge = damped_factor(total, ridge)
    kernel = _solve(total, factor, start)
    return Fit(
        kernel,
        total.mean_y - kernel @ total.mean_x,
        ridge,
        float(total.errors(start).mean()),
        float(total.errors(kernel).mean()),
        factor,
        total.yy,
    )


def damped_factor(covariances: Covariances, ridge: float) -> tuple[Tensor, float]:
    """Cholesky factor of the damped second moments, and the ridge that it took.

    Args:
        covariances: of the rows.
        ridge: relative to their mean variance. Where the moments are too inexact for it (products
            in single precision leave eigenvalues a little below zero), ten times as much, and so
            on.
    """
    scale = max(float(covariances.xx.diagonal().mean()), torch.finfo(torch.float64).tiny)
    while True:
        damped = covariances.xx.clone()
        damped.diagonal().add_(ridge * scale)
        factor, failed = torch.linalg.cholesky_ex(damped)
        if not int(failed):
            return factor, float(ridge)
        ridge *= 10


def _solve(covariances: Covariances, factor: Tensor, start: Tensor) -> Tensor:
    """The kernel, from its change, which the ridge shrinks."""
    residual = covariances.xy - covariances.xx @ start.T
    return start + torch.cholesky_solve(residual, factor).T
