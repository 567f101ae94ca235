"""The strength of a ridge whose fit errs least on held-out rows, among a few strengths.

Which of two errors is the smaller one seldom needs double precision. How inexact an error is, is
measured on some columns (`precision.refined`). Where two errors are not further apart than that
tells, both are taken in double precision.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmdet_lcp.least_squares.normal_equations import LeastSquares, damped_factor
from mmdet_lcp.least_squares.precision import SINGLE_FROM, refined, single_factor, square

# Relative to the mean variance of the rows.
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
PROBES = 4
MARGIN = 20.0  # errors have to be so many times as far apart as they may be wrong
LEAST_NOISE = 1e-6  # relative to the largest part of an error: what sums in float32 leave


def best_ridges(
    first: LeastSquares, held: LeastSquares, sizes: Sequence[int], single: bool
) -> list[float]:
    """For so many outputs each, the ridge that fits on the first and errs least on the held out.

    Goes from the middle of `RIDGES` to the better neighbour until there is none.

    Args:
        first: to fit on.
        held: the held-out rows.
        sizes: outputs of each layer.
        single: whether single precision may be tried.
    """
    trials = _Trials(first, held, sizes, single)
    chosen = []
    for layer in range(len(sizes)):
        best = len(RIDGES) // 2
        while best + 1 < len(RIDGES) and trials.less(best + 1, best, layer):
            best += 1
        while best and not trials.less(best, best - 1, layer):
            best -= 1
        chosen.append(trials.used(best))
    return chosen


class _Trials:
    """Errors on the held-out rows, by number of the ridge; each is taken when it is asked for."""

    def __init__(
        self, first: LeastSquares, held: LeastSquares, sizes: Sequence[int], single: bool
    ) -> None:
        self._first, self._held, self._sizes = first, held, list(sizes)
        self._try_single = single and len(first.residual) >= SINGLE_FROM
        self._exact: dict[int, tuple[list[float], float]] = {}
        self._single: dict[int, tuple[list[float], list[float]] | None] = {}

    def less(self, number: int, other: int, layer: int) -> bool:
        """Whether one ridge errs less than another at one of the layers."""
        if not {number, other} & self._exact.keys():
            one, two = self._in_single(number), self._in_single(other)
            if one is not None and two is not None:
                difference = one[0][layer] - two[0][layer]
                if abs(difference) > MARGIN * max(one[1][layer], two[1][layer]):
                    return difference < 0
        return self._in_double(number)[0][layer] < self._in_double(other)[0][layer]

    def used(self, number: int) -> float:
        """The ridge that it took; see `damped_factor`."""
        return self._exact[number][1] if number in self._exact else RIDGES[number]

    def _in_double(self, number: int) -> tuple[list[float], float]:
        """Errors of the layers, and the ridge."""
        if number not in self._exact:
            factor = square(self._first, self._first.residual.dtype)
            used, _ = damped_factor(self._first, RIDGES[number], factor)
            errors = self._held.errors(self._first.solve(factor))
            self._exact[number] = self._by_layer(errors), used
        return self._exact[number]

    def _in_single(self, number: int) -> tuple[list[float], list[float]] | None:
        """Errors of the layers, and how wrong they may be; ``None`` where it does not do."""
        if not self._try_single:
            return None
        if number not in self._single:
            self._single[number] = self._try(number)
        return self._single[number]

    def _try(self, number: int) -> tuple[list[float], list[float]] | None:
        found = single_factor(self._first, RIDGES[number])
        if found is None:
            return None
        factor, damping = found
        change = self._first.solve(factor)
        errors = self._by_layer(self._held.errors(change))
        before = self._by_layer(self._held.before)
        outputs = torch.arange(len(self._held.before)).split(self._sizes)
        noise = [
            self._missing(factor, change, damping, own) + LEAST_NOISE * max(error, start)
            for own, error, start in zip(outputs, errors, before, strict=True)
        ]
        return errors, noise

    def _missing(self, factor: Tensor, change: Tensor, damping: float, own: Tensor) -> float:
        """How far the error of some outputs moves when their solution is refined."""
        some = own[:: -(-len(own) // PROBES)].to(change.device)
        right = self._first.residual[:, some]
        found = change[:, some].to(right)
        better = refined(self._first, factor, damping, right, found)
        both = self._held.errors_of(torch.cat([found, better], 1), some.repeat(2))
        one, two = (float(errors.sum()) for errors in both.chunk(2))
        return abs(two - one) * len(own) / len(some)

    def _by_layer(self, errors: Tensor) -> list[float]:
        return [float(own.sum()) for own in errors.split(self._sizes)]
