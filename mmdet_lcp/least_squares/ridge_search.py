"""The strength of a ridge whose fit errs least on held-out rows, among a few strengths.

Which of two errors is the smaller one can mostly be told from little. It is tried in turn:

1. on some mixtures of a layer's outputs with random signs, whose errors add up to the layer's on
   average (Hutchinson, Communications in Statistics, 1989), as far as they agree among each other;
2. on all outputs, in single precision, as far as the errors are further apart than they may be
   wrong, which is measured on some columns (`precision.refined`);
3. on all outputs, in double precision.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmdet_lcp.least_squares.normal_equations import LeastSquares, damped_factor
from mmdet_lcp.least_squares.precision import SINGLE_FROM, refined, single_factor, square
from mmdet_lcp.least_squares.shifted import shifted_solutions

# Relative to the mean variance of the rows.
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
MIXTURES = 16
SURE = 5.0  # mixtures agree where the sum of their errors is so many of its standard errors
PROBES = 4
MARGIN = 20.0  # errors have to be so many times as far apart as they may be wrong
LEAST_NOISE = 1e-6  # relative to the largest part of an error: what sums in float32 leave
SHIFTED_FROM = 64  # rows a column; below, a factor of its own takes no longer than Lanczos' method
STEPS = 20  # of this
CLOSE = 1e-5  # relative residual of the solutions that it gives

# What to fit on, and the held-out rows; with mixtures (out, k) of the outputs, or all of them.
Problems = Callable[[Tensor | None], tuple[LeastSquares, LeastSquares]]


def best_ridges(problems: Problems, sizes: Sequence[int], single: bool) -> list[float]:
    """For so many outputs each, the ridge that fits on the first and errs least on the held out.

    Goes from the middle of `RIDGES` to the better neighbour until there is none.

    Args:
        problems: gives what to fit on, and the held-out rows.
        sizes: outputs of each layer.
        single: whether single precision may be tried.
    """
    trials = _Trials(problems, sizes, single)
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
    """Which of two ridges errs less; the errors are taken when they are asked for."""

    def __init__(self, problems: Problems, sizes: Sequence[int], single: bool) -> None:
        self._problems, self._sizes, self._single = problems, list(sizes), single
        self._used: dict[int, float] = {}

    def less(self, number: int, other: int, layer: int) -> bool:
        """Whether one ridge errs less than another at one of the layers, by number."""
        for name in ('_mixed', '_rough'):  # each is made when it is asked
            errors: _Errors | None = getattr(self, name)
            difference = errors and errors.difference(number, other, layer)
            if difference is not None:
                return difference < 0
        return self._exact.of(number, layer) < self._exact.of(other, layer)

    def used(self, number: int) -> float:
        """The ridge that it took; see `damped_factor`."""
        return self._used.get(number, RIDGES[number])

    @cached_property
    def _mixed(self) -> '_Errors | None':
        if max(self._sizes) <= MIXTURES:
            return None
        first, held = self._problems(mixtures(self._sizes))
        return _Errors(first, held, self._sizes, MIXTURES, self._in_single(first), self._used)

    @cached_property
    def _rough(self) -> '_Errors | None':
        if not self._in_single(self._all[0]):
            return None
        return _Errors(*self._all, self._sizes, None, True, self._used)

    @cached_property
    def _exact(self) -> '_Errors':
        return _Errors(*self._all, self._sizes, None, False, self._used)

    @cached_property
    def _all(self) -> tuple[LeastSquares, LeastSquares]:
        return self._problems(None)

    def _in_single(self, problem: LeastSquares) -> bool:
        return self._single and len(problem.residual) >= SINGLE_FROM


@dataclass
class _Solution:
    """What a ridge changes, (n, k).

    Attributes:
        change: the solution.
        factor: Cholesky factor that has given it, of these or other damped equations.
        damping: of the equations.
        apart: the factor's damping over that, or 1 if it is smaller: what the factor says of an
            error is too small by so much at most.
    """

    change: Tensor
    factor: Tensor
    damping: float
    apart: float = 1.0


class _Errors:
    """Errors on the held-out rows of fits with the ridges.

    Args:
        first: to fit on.
        held: the held-out rows.
        sizes: outputs of each layer.
        mixed: in the place of more outputs of a layer than these there are so many mixtures.
        single: whether factors are taken in single precision.
        used: where it is written down which ridge a factor in double precision took, by number.
    """

    def __init__(
        self,
        first: LeastSquares,
        held: LeastSquares,
        sizes: Sequence[int],
        mixed: int | None,
        single: bool,
        used: dict[int, float],
    ) -> None:
        self._first, self._held, self._single, self._used = first, held, single, used
        self._sampled = [mixed is not None and size > mixed for size in sizes]
        columns = [
            mixed if some else size for some, size in zip(self._sampled, sizes, strict=True)
        ]
        self._own = torch.arange(sum(columns), device=first.residual.device).split(columns)
        self._errors: dict[int, tuple[Tensor, list[float]] | None] = {}
        self._shifted = single and len(first.residual) >= SHIFTED_FROM * sum(columns)
        self._factored: tuple[float, Tensor, float] | None = None  # ridge, factor, damping

    def of(self, number: int, layer: int) -> float:
        """That of a layer with one of the ridges, by number."""
        errors, _ = self._get(number)
        return float(errors[self._own[layer]].sum())

    def difference(self, number: int, other: int, layer: int) -> float | None:
        """That with one ridge less that with another; ``None`` if it may be of either sign."""
        one, two = self._get(number), self._get(other)
        if one is None or two is None:
            return None
        apart = (one[0] - two[0])[self._own[layer]]
        doubt = MARGIN * max(one[1][layer], two[1][layer])
        if self._sampled[layer]:
            doubt += SURE * len(apart) ** 0.5 * float(apart.std())
        found = float(apart.sum())
        return found if abs(found) > doubt else None

    def _get(self, number: int) -> tuple[Tensor, list[float]] | None:
        """Errors of all columns, and how wrong those of each layer may be."""
        if number not in self._errors:
            wanted = [number]
            if self._shifted and not self._errors:  # the neighbours are wanted next
                wanted += [n for n in (number - 1, number + 1) if 0 <= n < len(RIDGES)]
            found = self._solutions(wanted)
            self._errors.update(dict.fromkeys(wanted))
            self._errors.update(zip(found, self._measured(list(found.values())), strict=True))
        return self._errors[number]

    def _solutions(self, numbers: Sequence[int]) -> dict[int, _Solution]:
        """By number; those are left out for which single precision does not do."""
        found: dict[int, _Solution] = {}
        if not self._single:
            for number in numbers:
                factor = square(self._first, self._first.residual.dtype)
                used, damping = damped_factor(self._first, RIDGES[number], factor)
                self._used[number] = used
                found[number] = _Solution(self._first.solve(factor), factor, damping)
            return found
        left = list(numbers)
        if self._factored is None:
            self._factor(left, found)
        if self._shifted and self._factored is not None and left:
            ridge, factor, damping = self._factored
            others = [damping * RIDGES[number] / ridge for number in left]
            right = self._first.residual.to(factor.dtype)
            shifts = [other - damping for other in others]
            changes = shifted_solutions(factor, right, shifts, CLOSE, STEPS)
            for number, other, change in zip(list(left), others, changes, strict=True):
                if change is not None:
                    apart = max(1.0, damping / other)
                    found[number] = _Solution(change, factor, other, apart)
                    left.remove(number)
        while left:
            self._factor(left, found)
        return found

    def _factor(self, left: list[int], found: dict[int, _Solution]) -> None:
        """Take the first of what is left from a factor of its own."""
        number = left.pop(0)
        made = single_factor(self._first, RIDGES[number])
        if made is not None:
            factor, damping = made
            self._factored = RIDGES[number], factor, damping
            found[number] = _Solution(self._first.solve(factor), factor, damping)

    def _measured(self, solutions: Sequence[_Solution]) -> list[tuple[Tensor, list[float]]]:
        """With each solution its errors, and how wrong those of each layer may be."""
        if not solutions:
            return []
        changes = torch.cat([solution.change for solution in solutions], 1)
        columns = torch.arange(len(self._held.before), device=changes.device)
        errors = self._held.errors(changes, columns.repeat(len(solutions)))
        errors = errors.chunk(len(solutions))
        noises = [[0.0] * len(self._own) for _ in solutions]
        if self._single:
            noises = self._noises(solutions, errors)
        return list(zip(errors, noises, strict=True))

    def _noises(
        self, solutions: Sequence[_Solution], errors: Sequence[Tensor]
    ) -> list[list[float]]:
        """How far the errors move when some columns of the solutions are refined, by layer."""
        some = [own[:: -(-len(own) // PROBES)] for own in self._own]
        probes = torch.cat(some)
        right = self._first.residual[:, probes]
        found = [solution.change[:, probes].to(right) for solution in solutions]
        missed = self._first.times(torch.cat(found, 1)).chunk(len(solutions), 1)
        better = [
            refined(solution.factor, right - solution.damping * old - product, old)
            for solution, old, product in zip(solutions, found, missed, strict=True)
        ]
        both = torch.cat([*found, *better], 1)
        moved = self._held.errors(both, probes.repeat(2 * len(solutions)))
        before, after = moved.view(2, len(solutions), len(probes))
        noises = []
        for solution, error, old, new in zip(solutions, errors, before, after, strict=True):
            moves = (new - old).split([len(own) for own in some])
            noise = []
            for own, chosen, move in zip(self._own, some, moves, strict=True):
                missing = abs(float(move.sum())) * len(own) / len(chosen) * solution.apart
                largest = max(float(error[own].sum()), float(self._held.before[own].sum().abs()))
                noise.append(missing + LEAST_NOISE * largest)
            noises.append(noise)
        return noises


def mixtures(sizes: Sequence[int]) -> Tensor:
    """Mixtures of the outputs of each layer, or the outputs where there are no more.

    Returns:
        (out, k) float64. With Z = Y mixtures, the squares of a layer's columns of Z add up to
        those of its columns of Y, on average over the signs, which are the same each time.
    """
    generator = torch.Generator().manual_seed(0)
    blocks = []
    for size in sizes:
        block = torch.eye(size, dtype=torch.float64)
        if size > MIXTURES:
            block = torch.randint(2, (size, MIXTURES), generator=generator).double() * 2 - 1
            block /= MIXTURES**0.5
        blocks.append(block)
    return torch.block_diag(*blocks)
