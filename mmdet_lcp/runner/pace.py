"""How long the rest of a run will take, from its pace so far."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Pace:
    """Keeps apart what takes time with every iteration and what with every stage.

    Args:
        stages: stages of the whole run.
        iterations: training iterations of the whole run.
    """

    def __init__(self, stages: int, iterations: int) -> None:
        self.stages = stages
        self.iterations = iterations
        self._training = self._other = 0.0
        self._iterations_timed = self._stages_timed = 0

    @contextmanager
    def training(self, iterations: int) -> Iterator[None]:
        """Time a piece of training of so many iterations; it may contain no other piece."""
        start = time.monotonic()
        yield
        self._training += time.monotonic() - start
        self._iterations_timed += iterations

    @contextmanager
    def stage(self) -> Iterator[None]:
        """Time a stage; training inside it is counted on its own."""
        start, training = time.monotonic(), self._training
        yield
        self._other += time.monotonic() - start - (self._training - training)
        self._stages_timed += 1

    def seconds_left(self, stages_done: int, iterations_done: int) -> float | None:
        """Remaining seconds, or ``None`` before the first stage has been timed.

        Args:
            stages_done: stages of the run that are complete.
            iterations_done: training iterations of the run that are done.
        """
        if self._stages_timed == 0:
            return None
        stages_left = self.stages - stages_done
        left = stages_left * self._other / self._stages_timed
        if self._iterations_timed:
            iterations_left = self.iterations - iterations_done
            left += iterations_left * self._training / self._iterations_timed
        return left
