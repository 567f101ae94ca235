"""How long the rest of a run will take, from its pace so far."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

_MUCH = 2  # times as long as the others: then the first stage is no measure for them


class Pace:
    """Keeps apart what takes time with every iteration and what with every stage.

    Args:
        stages: stages of the whole run.
        iterations: training iterations of the whole run.

    Both may be set later, when the run has been laid out.
    """

    def __init__(self, stages: int = 0, iterations: int = 0) -> None:
        self.stages = stages
        self.iterations = iterations
        self._training = 0.0
        self._iterations_timed = 0
        self._began: float | None = None  # of the piece of training that is under way
        self._counted = 0  # its iterations so far
        self._stages: list[float] = []  # seconds of each without its training

    @contextmanager
    def training(self, iterations: int) -> Iterator[None]:
        """Time a piece of training of so many iterations; it may contain no other piece."""
        self._began, self._counted = time.monotonic(), 0
        yield
        self._training += time.monotonic() - self._began
        self._began = None
        self._iterations_timed += iterations

    def count(self) -> None:
        """Count an iteration of the training that is under way, for what is left meanwhile."""
        self._counted += 1

    @contextmanager
    def stage(self) -> Iterator[None]:
        """Time a stage; training inside it is counted on its own."""
        start, training = time.monotonic(), self._training
        yield
        self._stages.append(time.monotonic() - start - (self._training - training))

    def seconds_left(self, stages_done: int, iterations_done: int) -> float | None:
        """Remaining seconds, or ``None`` while nothing that is left has been timed.

        Training that is left counts only once some has been timed; see `knows_training`.

        Args:
            stages_done: stages of the run that are complete.
            iterations_done: training iterations of the run that are done.
        """
        stages_left = max(0, self.stages - stages_done)
        left = []
        if stages_left and self._stages:
            left.append(stages_left * self._stage_seconds())
        timed, seconds = self._iterations_timed, self._training
        if self._began is not None and self._counted:
            timed += self._counted
            seconds += time.monotonic() - self._began
        if timed and (not stages_left or left):
            left.append((self.iterations - iterations_done) * seconds / timed)
        return sum(left) if left else None

    def _stage_seconds(self) -> float:
        """Of a stage to come; the first may have done something for all of them."""
        first, *others = self._stages
        if others and first > _MUCH * statistics.fmean(others):
            return statistics.fmean(others)
        return statistics.fmean(self._stages)

    @property
    def knows_training(self) -> bool:
        """Whether `seconds_left` counts the training."""
        return self._iterations_timed > 0
