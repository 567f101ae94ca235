"""One way to time two detectors against each other, for choosing channels and for reporting.

They take turns, so that what else the machine does meets both. Of each the least time counts:
what disturbs only adds. How far the rounds are apart says how much that was.
"""

import time
from dataclasses import dataclass

from torch import nn

from mmdet_lcp.measure.latency import latency_ms, undisturbed_clock

ROUNDS = 6
RUNS = 5
# Rounds that are farther apart than this, or so much wall time above the processor's: busy.
_APART = 1.25
_WAITED = 1.25


@dataclass(frozen=True)
class PairTiming:
    """Milliseconds of one image, a number a round: the least of its runs.

    Attributes:
        first: of the first detector.
        second: of the second one.
        waited: wall time over processor time, where the latter is the clock; else 1.
    """

    first: list[float]
    second: list[float]
    waited: float = 1.0

    @property
    def ms(self) -> tuple[float, float]:
        """The least milliseconds of both."""
        return min(self.first), min(self.second)

    @property
    def share(self) -> float:
        """The second one's least time over that of the first."""
        return min(self.second) / min(self.first)

    @property
    def shares(self) -> tuple[float, float]:
        """The smallest and the largest share that one round alone would have told."""
        found = [b / a for a, b in zip(self.first, self.second, strict=True)]
        return min(found), max(found)

    @property
    def busy(self) -> str:
        """What shows that the machine did other things, in words; '' if nothing does."""
        apart = max(max(times) / min(times) for times in (self.first, self.second))
        signs = []
        if apart > _APART:
            signs.append(f'rounds of one detector differ by {100 * (apart - 1):.0f} %')
        if self.waited > _WAITED:
            signs.append(f'it waited {100 * (self.waited - 1):.0f} % of its own time for others')
        if not signs:
            return ''
        low, high = self.shares
        return (
            f'The machine was busy while latencies were measured ({", and ".join(signs)}): single '
            f'rounds gave {low:.3f} to {high:.3f} of the latency before. Measure on a machine '
            'that does nothing else'
        )


def time_pair(
    first: nn.Module,
    second: nn.Module,
    image_size: tuple[int, int],
    first_size: tuple[int, int] | None = None,
) -> PairTiming:
    """Time two detectors in turn.

    The clock is that of `undisturbed_clock`: on one CPU thread the processor time.

    Args:
        first: an mmdet detector.
        second: another one.
        image_size: (height, width) in pixels.
        first_size: of the first one's images, where they have another size.
    """
    clock = undisturbed_clock(next(first.parameters()).device)
    times: tuple[list[float], list[float]] = ([], [])
    sizes = first_size or image_size, image_size
    wall, own = time.perf_counter(), time.process_time()
    for _ in range(ROUNDS):
        for detector, size, kept in zip((first, second), sizes, times, strict=True):
            kept.append(latency_ms(detector, size, runs=RUNS, warmup=1, pick=min, clock=clock))
    wall, own = time.perf_counter() - wall, time.process_time() - own
    waited = wall / own if clock is time.process_time and own > 0 else 1.0
    return PairTiming(*times, waited)
