"""The normal equations of a least squares, from second moments, and their damped factor."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.least_squares.moments import Moments

TILE = 512  # rows at once of a product with a sum
STRIP = 64  # rows at once where a matrix is copied in another precision; they stay in the cache


class LeastSquares:
    """The change of a kernel that fits best, from the sums of some moments.

    Args:
        sets: the moments.
        products: of each one's ``xx`` with the kernel, (n, out), or their sum alone.
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
        """Those of the rows, (n, n), written into ``out``; rounded once, if that is float32."""
        lines = out.mT if out.mT.is_contiguous() else out  # they are symmetric
        for start in range(0, len(out), STRIP):
            strip = slice(start, start + STRIP)
            found = self._matrices[0][strip] / self._weight
            for more in self._matrices[1:]:
                found.addcdiv_(more[strip], self._weight)
            lines[strip] = found.addr_(self.mean_x[strip], self.mean_x, alpha=-1)
        return out

    def solve(self, factor: Tensor) -> Tensor:
        """The change, (n, out), from the Cholesky factor of the damped second moments.

        In the factor's precision.
        """
        return solve(factor, self.residual.to(factor.dtype))

    def times(self, change: Tensor) -> Tensor:
        """Covariances of the rows times a change (n, out); products in the change's precision."""
        product = sum_times(self._matrices, change).to(self.residual) / self._weight
        wide = change.to(self.residual)
        return product.addr_(self.mean_x, self.mean_x @ wide, alpha=-1)

    def errors(self, change: Tensor, outputs: Tensor | None = None) -> Tensor:
        """Mean squared error of outputs with a change (n, out): (out,).

        Args:
            change: of each of the outputs.
            outputs: their numbers; ``None`` for all.
        """
        before, residual = self.before, self.residual
        if outputs is not None:
            before, residual = before[outputs], residual[:, outputs]
        return before + (change * (self.times(change) - 2 * residual)).sum(0)


def sum_times(matrices: Sequence[Tensor], change: Tensor) -> Tensor:
    """The sum of some matrices times another one, in the precision of that."""
    if len(matrices) == 1 and change.dtype == matrices[0].dtype:
        return matrices[0] @ change
    product = change.new_empty(len(matrices[0]), change.shape[1])
    for start in range(0, len(product), TILE):
        strip = slice(start, start + TILE)
        rows = sum(matrix[strip] for matrix in matrices)
        torch.mm(rows.to(change.dtype), change, out=product[strip])
    return product


def solve(factor: Tensor, right: Tensor) -> Tensor:
    """Solve L L' x = right."""
    half = torch.linalg.solve_triangular(factor, right, upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True)


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
