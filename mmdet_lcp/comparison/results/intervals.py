"""Intervals of a comparison's figures: other test images, and other seeds, might have been drawn.

A bootstrap in two steps: draw as many runs of a method as it has seeds, then as many test images
as there are, the same ones for all methods; 95 % of the draws lie in the interval (percentiles).
Of two methods the difference is taken draw by draw: what makes an image easy or hard for both
cancels out. With few seeds the spread between seeds comes out too small, by the root of
(n - 1) / n; with one seed an interval is over images alone.
"""

import contextlib
import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmdet_lcp.comparison.results.comparison import FINISHED, CellResult, Comparison
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import atomic_path, load_arrays
from mmdet_lcp.measure.image_matches import ImageMatches, file_of
from mmdet_lcp.measure.resampled_ap import METRICS, RESAMPLES, ResampledAP, image_draws

DENSE = 'dense'
MOMENTS = {'selected': 'right after selection', 'final': 'after training'}
"""When a detector was measured, and in words."""
NOT_KEPT = 'not kept'

_FORMAT = 1
_INSIDE = (2.5, 97.5)  # percentiles
_LEVEL = 0  # a difference of two methods that are alike


@dataclass(frozen=True)
class Interval:
    """A figure, and where 95 % of the draws lie.

    Attributes:
        value: on the test images as they are.
        low: the lower end.
        high: the upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f'[{self.low:.3f}, {self.high:.3f}]'

    def words(self) -> str:
        """As the difference between a method and another: who is ahead, in points of 100."""
        value, low, high = (100 * number for number in (self.value, self.low, self.high))
        if low <= _LEVEL <= high:
            return f'level: {_signed(value)} [{_signed(low)}, {_signed(high)}]'
        if value > _LEVEL:
            return f'ahead by {value:.1f} [{low:.1f}, {high:.1f}]'
        return f'behind by {-value:.1f} [{-high:.1f}, {-low:.1f}]'


@dataclass(frozen=True)
class Resampled:
    """One measurement of one run.

    Attributes:
        images: ids of the test images, (N,).
        values: the figures of `METRICS`, (6,); NaN for those that the data do not have.
        draws: those of each draw, (R, 6).
        absent: classes without an object on these images.
    """

    images: NDArray
    values: NDArray
    draws: NDArray
    absent: tuple[str, ...] = ()


def read_resampled(work_dir: str | os.PathLike, moment: str) -> Resampled | None:
    """The draws of a run's measurement, computed where that has not been done, and kept beside it.

    Args:
        work_dir: of the run.
        moment: as `file_of` takes it.

    Returns:
        ``None`` where the run has kept no detections.

    Raises:
        CompressionError: the detections are damaged.
    """
    path = file_of(work_dir, moment)
    if not path.is_file():
        return None
    made = path.stat().st_mtime_ns
    return _resampled(str(path), made)


@functools.lru_cache(maxsize=512)
def _resampled(name: str, made: int) -> Resampled:
    path = Path(name)
    kept = path.with_name(f'{path.stem}_draws.npz')
    header = np.asarray([_FORMAT, RESAMPLES, made])
    with contextlib.suppress(CompressionError, KeyError):
        file = load_arrays(kept)
        if np.array_equal(file['header'], header):
            kept_absent = tuple(map(str, file['absent']))
            return Resampled(file['images'], file['values'], file['draws'], kept_absent)
    matches = ImageMatches.load(path)
    figures = ResampledAP(matches)
    count = len(matches.images)
    values = figures.metrics(np.ones(count))
    draws = figures.resampled(image_draws(count))
    found = Resampled(matches.images, values, draws, matches.absent())
    with contextlib.suppress(OSError), atomic_path(kept) as temporary:
        np.savez(temporary, header=header, **vars(found))
    return found


def is_kept(comparison: Comparison) -> bool:
    """Whether any run of a comparison has kept its detections."""
    return any(
        cell.run_dir and file_of(cell.run_dir, moment).is_file()
        for cell in comparison.cells
        for moment in MOMENTS
    )


def absent_classes(comparison: Comparison) -> list[str]:
    """A sentence for each class that has no object on the test images of some run."""
    runs = (read_resampled(cell.run_dir, 'final') for cell in comparison.cells if cell.run_dir)
    names = dict.fromkeys(name for run in runs if run is not None for name in run.absent)
    return [
        f'class {name!r} has no object on the test images: it does not count in the mean'
        for name in names
    ]


def of_cell(cell: CellResult, moment: str) -> list[Interval | None] | None:
    """Intervals of one run over the test images; see `of_method`."""
    return _intervals(_runs([cell], moment), 0)


def of_method(
    comparison: Comparison, method: str, amount: float | str, moment: str
) -> list[Interval | None] | None:
    """Intervals of a method's mean over its seeds.

    Args:
        comparison: it.
        method: one of its methods, or `DENSE`.
        amount: that is removed.
        moment: one of `MOMENTS`.

    Returns:
        For each of `METRICS`, ``None`` where the data have no such objects. ``None`` at all where
        a run that has ended has kept no detections, or on other images than another one.
    """
    return _intervals(_runs_of(comparison, method, amount, moment), 0)


def of_pair(
    comparison: Comparison, method: str, against: str, amount: float | str, moment: str
) -> list[Interval | None] | None:
    """Intervals of the difference between two methods, ``method`` less ``against``.

    Args:
        comparison: it.
        method: one of its methods.
        against: another one, or `DENSE`.
        amount: that is removed, the same for both.
        moment: one of `MOMENTS`.

    Returns:
        As `of_method`.
    """
    pair = [_runs_of(comparison, name, amount, moment) for name in (against, method)]
    if not all(pair) or not _same_images([run for runs in pair for run in runs]):
        return None
    (base, base_draws), (own, own_draws) = (_mean(runs, n) for n, runs in enumerate(pair))
    return _ends(own - base, own_draws - base_draws)


def _runs_of(
    comparison: Comparison, method: str, amount: float | str, moment: str
) -> list[Resampled]:
    if method == DENSE and DENSE not in comparison.methods:
        cell = comparison.dense()
        found = read_resampled(cell.run_dir, DENSE) if cell and cell.run_dir else None
        return [] if found is None else [found]
    cells = [cell for cell in comparison.of(method, amount) if cell.state == FINISHED]
    return _runs(cells, moment)


def _runs(cells: Sequence[CellResult], moment: str) -> list[Resampled]:
    """Measurements of some runs; none where one of them has none."""
    found = [read_resampled(cell.run_dir, moment) if cell.run_dir else None for cell in cells]
    runs = [run for run in found if run is not None]
    return runs if len(runs) == len(found) and _same_images(runs) else []


def _same_images(runs: Sequence[Resampled]) -> bool:
    return all(np.array_equal(run.images, runs[0].images) for run in runs)


def _mean(runs: Sequence[Resampled], number: int) -> tuple[NDArray, NDArray]:
    """Mean over seeds of the figures, (6,), and of each draw, (R, 6), seeds drawn.

    Args:
        runs: of one method.
        number: of the method in a pair: seeds are drawn independently of the other's.
    """
    values = np.mean([run.values for run in runs], axis=0)
    draws = np.stack([run.draws for run in runs])
    resamples = draws.shape[1]
    seeds = np.random.default_rng(number).integers(len(runs), size=(len(runs), resamples))
    return values, draws[seeds, np.arange(resamples)].mean(axis=0)


def _intervals(runs: Sequence[Resampled], number: int) -> list[Interval | None] | None:
    return _ends(*_mean(runs, number)) if runs else None


def _ends(values: NDArray, draws: NDArray) -> list[Interval | None]:
    found: list[Interval | None] = []
    for value, drawn in zip(values, draws.T, strict=True):
        known = drawn[~np.isnan(drawn)]
        if np.isnan(value) or not len(known):
            found.append(None)
        else:
            low, high = np.percentile(known, _INSIDE)
            found.append(Interval(float(value), float(low), float(high)))
    assert len(found) == len(METRICS)
    return found


def _signed(value: float) -> str:
    return f'{value:+.1f}'.replace('-', '−')
