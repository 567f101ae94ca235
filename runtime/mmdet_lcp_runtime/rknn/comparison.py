"""Two files of one detector, on the same photos."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mmdet_lcp_runtime.detections import Detections
from mmdet_lcp_runtime.nms import likeness


@dataclass(frozen=True)
class Agreement:
    """How far a file detects what another one does.

    Attributes:
        photos: number of photos.
        given: detections of the first file.
        made: detections of the second.
        both: pairs of one class that overlap by half or more.
        box: largest difference of a side within a pair, in pixels of the photo.
        score: largest difference of the scores within a pair.
    """

    photos: int
    given: int
    made: int
    both: int
    box: float
    score: float

    @property
    def warning(self) -> str:
        """What is to be said beside it, or nothing."""
        if not self.given:
            return (
                'nothing was compared: no photo has a detection; give others, or a lower --score'
            )
        if self.both < 0.9 * max(self.given, self.made):
            return (
                'less than nine of ten detections are in both: do not use it before you know why'
            )
        return ''

    def __str__(self) -> str:
        return (
            f'{self.both} of {self.given} detections again, {self.made - self.both} others; boxes '
            f'differ by up to {self.box:.2g} pixels, scores by up to {self.score:.2g}'
        )


def compare(pairs: Iterable[tuple[Detections, Detections]]) -> Agreement:
    """Count and measure.

    Args:
        pairs: of each photo, the detections of both files, best first.
    """
    photos = given = made = both = 0
    box = score = 0.0
    for one, other in pairs:
        photos, given, made = photos + 1, given + len(one), made + len(other)
        for first, second in matches(one, other):
            both += 1
            box = max(box, float(np.abs(one.boxes[first] - other.boxes[second]).max()))
            score = max(score, abs(float(one.scores[first] - other.scores[second])))
    return Agreement(photos, given, made, both, box, score)


def matches(one: Detections, other: Detections) -> list[tuple[int, int]]:
    """Pairs of one class, each detection in one pair at most, best first."""
    free, found = set(range(len(other))), []
    for first in range(len(one)):
        same = [n for n in sorted(free) if other.labels[n] == one.labels[first]]
        if not same:
            continue
        shares = likeness(one.boxes[first], other.boxes[same])
        best = int(shares.argmax())
        if shares[best] >= 0.5:
            found.append((first, same[best]))
            free.remove(same[best])
    return found
