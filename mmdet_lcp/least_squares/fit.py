"""Least squares with a ridge whose strength is chosen on held-out images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from mmdet_lcp.config.checks import check_positive
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.least_squares.moments import Moments

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
    error on the second: the first from the middle that no neighbour betters. The solution is
    then taken on both together.

    Args:
        moments: to fit on, and held out.
        rows: columns of the flattened kernel that may change.
        start: (out, len(rows)) float64, the kernel that is there.
        ridge: r over the mean variance of the rows, or ``'auto'``.
        intercept: whether b is free, or zero.
    """
    return fit_together([moments], rows, [start], ridge, intercept)[0]


def fit_together(
    moments: Sequence[tuple[Moments, Moments]],
    rows: Tensor,
    starts: Sequence[Tensor],
    ridge: float | str,
    intercept: bool,
) -> list[Fit]:
    """`fit` for several layers that read the same rows: their ``xx`` are the same tensors.

    Each gets the solution, and the ridge, that it would get on its own; those of the same ridge
    have their `Fit.factor` in common. Beside the moments this takes one matrix of their size for
    each of the ridges.
    """
    kernel = torch.cat(list(starts))
    sets = [reduce(Moments.beside, some) for some in zip(*moments, strict=True)]
    if moments[0][0] is moments[0][1]:
        del sets[1]
    if not torch.equal(rows, torch.arange(len(sets[0].x), device=rows.device)):
        sets = [some.rows(rows) for some in sets]
    products = [some.xx @ kernel.T for some in sets]
    total = LeastSquares(sets, products, kernel, intercept)
    factor = torch.empty_like(sets[0].xx).mT  # as LAPACK has them: it works in place
    sizes = [len(start) for start in starts]
    chosen = [float(ridge)] * len(starts) if ridge != 'auto' else []
    if ridge == 'auto':
        first = LeastSquares(sets[:1], products[:1], kernel, intercept)
        last = LeastSquares(sets[-1:], products[-1:], kernel, intercept)
        chosen = _best_ridges(first, last, factor, sizes)
    solved: dict[float, _Solution] = {}
    for strength in chosen:
        if strength not in solved:
            solved[strength] = _solution(total, strength, factor)
            factor = torch.empty_like(factor) if len(solved) < len(set(chosen)) else None
    fits = []
    for number, strength in enumerate(chosen):
        own = slice(sum(sizes[:number]), sum(sizes[: number + 1]))
        found = solved[strength]
        new = kernel[own] + found.change[:, own].T
        fits.append(
            Fit(
                new,
                total.mean_y[own] - new @ total.mean_x,
                found.ridge,
                float(total.before[own].mean()),
                float(found.after[own].mean()),
                found.factor,
                total.variance[own],
            )
        )
    return fits


@dataclass
class _Solution:
    """What all outputs get with one ridge: change (n, out), error after, ridge and factor."""

    change: Tensor
    after: Tensor
    ridge: float
    factor: Tensor


def _solution(problem: 'LeastSquares', ridge: float, factor: Tensor) -> _Solution:
    """Solve with a ridge; the factor is written into ``factor``."""
    ridge, damping = damped_factor(problem, ridge, factor)
    change = problem.solve(factor)
    after = problem.before - (change * (problem.residual + damping * change)).sum(0)
    return _Solution(change, after, ridge, factor)


class LeastSquares:
    """The change of a kernel that fits best, from the sums of some moments.

    Args:
        sets: the moments.
        products: of each one's ``xx`` with the kernel, (n, out).
        start: the kernel, (out, n).
        intercept: whether b is free, or zero.

    Attributes:
        mean_x: (n,); zeros without an intercept.
        mean_y: (out,); zeros without an intercept.
        variance: of each output, (out,); without an intercept its mean square.
        residual: what the change has to explain, (n, out): covariances of the rows with the
            errors of the kernel.
        before: mean squared error of each output with the kernel, (out,).
    """

    def __init__(
        self, sets: Sequence[Moments], products: Sequence[Tensor], start: Tensor, intercept: bool
    ) -> None:
        self._matrices = [some.xx for some in sets]
        self._weight = sum(some.weight for some in sets)
        x, y, xy, yy = (
            sum(getattr(some, name) for some in sets) / self._weight
            for name in ('x', 'y', 'xy', 'yy')
        )
        self.mean_x, self.mean_y = (x, y) if intercept else (x * 0, y * 0)
        self.variance = yy - self.mean_y**2
        xy.addr_(self.mean_x, self.mean_y, alpha=-1)
        self.residual = xy - sum(products) / self._weight
        self.residual.addr_(self.mean_x, start @ self.mean_x)
        self.before = self.variance - (start.T * (xy + self.residual)).sum(0)

    def covariances(self, out: Tensor) -> Tensor:
        """Those of the rows, (n, n), written into ``out``."""
        out.copy_(self._matrices[0])
        for more in self._matrices[1:]:
            out += more
        return out.div_(self._weight).addr_(self.mean_x, self.mean_x, alpha=-1)

    def solve(self, factor: Tensor) -> Tensor:
        """The change, (n, out), from the Cholesky factor of the damped second moments."""
        half = torch.linalg.solve_triangular(factor, self.residual, upper=False)
        return torch.linalg.solve_triangular(factor.mT, half, upper=True)

    def errors(self, change: Tensor) -> Tensor:
        """Mean squared error of each output with a change (n, out): (out,)."""
        product = sum(matrix @ change for matrix in self._matrices) / self._weight
        product.addr_(self.mean_x, self.mean_x @ change, alpha=-1)
        return self.before + (change * (product - 2 * self.residual)).sum(0)


def damped_factor(problem: LeastSquares, ridge: float, factor: Tensor) -> tuple[float, float]:
    """Cholesky factor of the damped second moments; returns the ridge that it took.

    Relative to the rows' mean variance, and as it was added.

    Args:
        problem: whose moments.
        ridge: relative to the rows' mean variance. Where the moments are too inexact for it
            (products in single precision leave eigenvalues a little below zero), ten times as
            much, and so on.
        factor: where it is written, (n, n), lower.

    Raises:
        CompressionError: the moments are not finite, so that no ridge is enough.
    """
    failed = torch.empty((), dtype=torch.int32, device=factor.device)
    while True:
        diagonal = problem.covariances(factor).diagonal()
        scale = max(float(diagonal.mean()), torch.finfo(torch.float64).tiny)
        if not math.isfinite(ridge * scale):
            raise CompressionError(
                'the second moments of a layer are not finite: look for nan or inf in the '
                'images and in the weights'
            )
        diagonal.add_(ridge * scale)
        torch.linalg.cholesky_ex(factor, out=(factor, failed))
        if not int(failed):
            return float(ridge), ridge * scale
        ridge *= 10


def _best_ridges(
    first: LeastSquares, held: LeastSquares, factor: Tensor, sizes: Sequence[int]
) -> list[float]:
    """For so many outputs each, the ridge that fits on the first and errs least on the held out.

    Goes from the middle of `RIDGES` to the better neighbour until there is none.
    """
    tried: dict[int, tuple[list[float], float]] = {}

    def error(number: int, layer: int) -> float:
        if number not in tried:
            used, _ = damped_factor(first, RIDGES[number], factor)
            errors = held.errors(first.solve(factor)).split(list(sizes))
            tried[number] = [float(own.sum()) for own in errors], used
        return tried[number][0][layer]

    chosen = []
    for layer in range(len(sizes)):
        best = len(RIDGES) // 2
        while best + 1 < len(RIDGES) and error(best + 1, layer) < error(best, layer):
            best += 1
        while best and error(best - 1, layer) <= error(best, layer):
            best -= 1
        chosen.append(tried[best][1])
    return chosen
