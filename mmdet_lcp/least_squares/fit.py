"""Least squares with a ridge whose strength is chosen on held-out images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from mmdet_lcp.config.checks import check_positive
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.least_squares.moments import Moments
from mmdet_lcp.least_squares.normal_equations import LeastSquares, damped_factor, sum_times
from mmdet_lcp.least_squares.precision import SINGLE_FROM, good_enough, single_factor, square
from mmdet_lcp.least_squares.ridge_search import best_ridges


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
        factor: Cholesky factor of the damped second moments, (n, n), lower; in float32 where that
            is exact enough (`precision.good_enough`) and the kernel was.
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
    it. With ``'auto'``, r is the one of
    `mmdet_lcp.least_squares.ridge_search.RIDGES` whose fit on the first moments has the smallest
    error on the second: the first from the middle that no neighbour betters. The solution is
    then taken on both together.

    Args:
        moments: to fit on, and held out.
        rows: columns of the flattened kernel that may change.
        start: (out, len(rows)), the kernel that is there. If it is in single precision, large
            matrices are factorised in it, as far as that is exact enough.
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
    kernel = torch.cat([start.double() for start in starts])
    single = all(start.dtype == torch.float32 for start in starts)
    sets = [reduce(Moments.beside, some) for some in zip(*moments, strict=True)]
    if moments[0][0] is moments[0][1]:
        del sets[1]
    if not torch.equal(rows, torch.arange(len(sets[0].x), device=rows.device)):
        sets = [some.rows(rows) for some in sets]
    total = LeastSquares(
        sets, [sum_times([some.xx for some in sets], kernel.T)], kernel, intercept
    )
    sizes = [len(start) for start in starts]
    chosen = [float(ridge)] * len(starts) if ridge != 'auto' else []
    if ridge == 'auto':

        def apart(mixing: Tensor | None) -> tuple[LeastSquares, LeastSquares]:
            """What to fit on, and the held-out rows."""
            mixing = None if mixing is None else mixing.to(kernel.device)
            own = kernel if mixing is None else mixing.T @ kernel
            some = sets if mixing is None else [one.mixed(mixing) for one in sets]
            found = [LeastSquares([one], [one.xx @ own.T], own, intercept) for one in some]
            return found[0], found[-1]

        chosen = best_ridges(apart, sizes, single)
    solved = {strength: _solution(total, strength, single) for strength in dict.fromkeys(chosen)}
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


def _solution(problem: LeastSquares, ridge: float, single: bool) -> _Solution:
    """Solve with a ridge."""
    found = None
    if single and len(problem.residual) >= SINGLE_FROM:
        found = single_factor(problem, ridge)
        if found is not None and not good_enough(problem, *found):
            found = None
    if found is None:
        factor = square(problem, problem.residual.dtype)
        ridge, damping = damped_factor(problem, ridge, factor)
    else:
        factor, damping = found
    change = problem.solve(factor).to(problem.residual)
    after = problem.before - (change * (problem.residual + damping * change)).sum(0)
    return _Solution(change, after, ridge, factor)
