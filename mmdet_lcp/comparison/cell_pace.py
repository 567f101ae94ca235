"""How long the rest of a comparison will take, from the cells that have been run."""

from collections.abc import Sequence

from mmdet_lcp.comparison.cells import Cell


class CellPace:
    """Seconds of a cell by its method; by its iterations where the method is new.

    Args:
        jobs: cells at a time, >= 1.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._timed: list[tuple[Cell, float]] = []

    def note(self, cell: Cell, seconds: float) -> None:
        """A cell was run from its beginning to its end."""
        self._timed.append((cell, seconds))

    def seconds_left(self, cells: Sequence[Cell]) -> float | None:
        """Seconds for the cells that are left; ``None`` before one has been timed."""
        if not self._timed:
            return None
        return sum(map(self._expected, cells)) / min(self.jobs, max(1, len(cells)))

    def _expected(self, cell: Cell) -> float:
        own = [seconds for other, seconds in self._timed if other.method == cell.method]
        if own:
            return sum(own) / len(own)
        kind = [t for t in self._timed if (t[0].update is None) == (cell.update is None)]
        timed = kind or self._timed
        iterations = sum(max(1, other.total) for other, _ in timed)
        return sum(seconds for _, seconds in timed) / iterations * max(1, cell.total)
