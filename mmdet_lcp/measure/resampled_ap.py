"""COCO's mAP of other draws of the same images: the last step of the evaluation, with weights.

An image that is drawn twice counts twice, which is the mAP of a data set that has it twice. The
exception are detections of one class on one image with the same score, whose order such a data
set makes another one. Bootstrap: Efron & Tibshirani, An Introduction to the Bootstrap, 1993.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmdet_lcp.measure.image_matches import ImageMatches

METRICS = ('mAP', 'AP50', 'AP75', 'small', 'medium', 'large')
"""What is computed, in order; as the first six figures of COCO's summary."""
RESAMPLES = 1000
_RECALLS = np.linspace(0.0, 1.0, 101)
_AT_ONCE = 1 << 21  # detections, those of all draws that are looked at together
_OF_MAP = 100  # detections of a class on an image that count for mAP; the others take the most


def image_draws(num_images: int, resamples: int = RESAMPLES, seed: int = 0) -> NDArray:
    """How often each image is drawn, as many images with replacement as there are.

    Args:
        num_images: N, >= 1.
        resamples: R, >= 1.
        seed: the same draws for the same seed, images and resamples.

    Returns:
        Counts, (R, N); each row adds up to N.
    """
    draws = np.random.default_rng(seed)
    share = np.full(num_images, 1 / num_images)
    return draws.multinomial(num_images, share, size=resamples)


@dataclass
class _Curve:
    """What a precision-recall curve needs: of a class, a range of areas and a threshold.

    Attributes:
        counted: number, in the list of counted detections, at which each right one stands.
        right: images of the right ones, by falling score.
    """

    counted: NDArray
    right: NDArray


@dataclass
class _Counted:
    """Detections that count, by falling score: their images, and the curves that they share."""

    images: NDArray
    curves: dict[int, _Curve]


class ResampledAP:
    """Evaluates draws of the images that some detections are of.

    Args:
        matches: the detections.
    """

    def __init__(self, matches: ImageMatches) -> None:
        self.matches = matches
        self._most = int(matches.max_detections[-1])
        self._rank = _ranks(matches)
        self._lists: dict[tuple[int, int, int], list[_Counted]] = {}

    def metrics(self, weights: NDArray) -> NDArray:
        """COCO's figures of one draw, (6,), from counts of (N,); see `resampled`."""
        return self.resampled(np.asarray(weights)[None])[0]

    def resampled(self, draws: NDArray) -> NDArray:
        """COCO's figures of some draws.

        Args:
            draws: how often each draw has each image, whole numbers >= 0, (R, N).

        Returns:
            The figures of `METRICS`, (R, 6), each in [0, 1]; NaN where a draw has no object, and
            where the evaluation does not count 100 detections or has no threshold of the name.
        """
        at_once = max(1, _AT_ONCE // max(1, len(self.matches.score)))
        parts = [draws[i : i + at_once] for i in range(0, len(draws), at_once)]
        return np.concatenate([self._figures(np.asarray(p, np.float64)) for p in parts])

    def _figures(self, draws: NDArray) -> NDArray:
        areas, thresholds = list(self.matches.areas), self.matches.thresholds
        every = self._precision(draws, areas.index('all'), self._most)
        if _OF_MAP not in self.matches.max_detections:
            first = every[:, :0]
        elif self._rank.max(initial=0) < _OF_MAP:
            first = every
        else:
            first = self._precision(draws, areas.index('all'), _OF_MAP)
        at = [every[:, thresholds == value] for value in (0.5, 0.75)]
        of_areas = [self._precision(draws, areas.index(name), self._most) for name in METRICS[3:]]
        return np.stack([[_mean(one) for one in part] for part in (first, *at, *of_areas)], 1)

    def _precision(self, draws: NDArray, area: int, most: int) -> NDArray:
        """Precision at each recall, (R, T, 101, K); -1 for classes without objects."""
        classes, thresholds = len(self.matches.classes), len(self.matches.thresholds)
        precision = np.full((len(draws), thresholds, len(_RECALLS), classes), -1.0)
        for k in range(classes):
            objects = draws @ self.matches.objects[k, area]
            with_objects = np.flatnonzero(objects)
            precision[with_objects, :, :, k] = 0
            own = draws[with_objects]
            needed = _least(objects[with_objects])
            for counted in self._counted(k, area, most) if len(own) else ():
                before = own[:, counted.images].cumsum(axis=1)
                for t, curve in counted.curves.items():
                    right = own[:, curve.right].cumsum(axis=1)
                    shares = right / (before[:, curve.counted] + np.spacing(1))
                    precision[with_objects, t, :, k] = _at_recalls(right, shares, needed)
        return precision

    def _counted(self, k: int, area: int, most: int) -> list[_Counted]:
        """What of the detections the curves of a class read; found once."""
        if (k, area, most) not in self._lists:
            self._lists[k, area, most] = list(self._find_counted(k, area, most))
        return self._lists[k, area, most]

    def _find_counted(self, k: int, area: int, most: int) -> Iterator[_Counted]:
        m = self.matches
        own = np.flatnonzero((m.label == k) & (self._rank < most))
        own = own[np.argsort(-m.score[own], kind='stable')]
        known: dict[bytes, _Counted] = {}
        for t in range(len(m.thresholds)):
            counts = own[~m.ignored[own, area, t]]
            right = np.flatnonzero(m.matched[counts, area, t])
            if not len(right):
                continue
            key = counts.tobytes()
            if key not in known:
                known[key] = _Counted(m.image[counts], {})
            known[key].curves[t] = _Curve(right, m.image[counts[right]])
        for counted in known.values():  # what comes after the last right one plays no part
            last = max(int(curve.counted[-1]) for curve in counted.curves.values())
            counted.images = counted.images[: last + 1]
            yield counted


def _least(objects: NDArray) -> NDArray:
    """The least number of found objects that has each recall, (R, 101), from counts of (R,)."""
    objects = objects[:, None]
    least = np.ceil(_RECALLS * objects)
    # As floats divide: 0.07 * 100 is more than 7, and 7 / 100 has the recall of 0.07.
    least -= (least >= 1) & ((least - 1) / objects >= _RECALLS)
    return least + (least / objects < _RECALLS)


def _at_recalls(right: NDArray, shares: NDArray, needed: NDArray) -> NDArray:
    """The best share of right detections from each recall on, 0 where it is not reached.

    Args:
        right: how many objects are found up to each right detection, (R, L).
        shares: of right ones among all detections up to there, (R, L).
        needed: found objects that have each recall, (R, 101).

    Returns:
        (R, 101).
    """
    draws, length = right.shape
    best = np.maximum.accumulate(shares[:, ::-1], axis=1)[:, ::-1]
    # All rows are searched at once: counts are whole numbers, each row's above those before it.
    above = (max(right.max(), needed.max()) + 1) * np.arange(draws)[:, None]
    place = np.searchsorted((right + above).ravel(), needed + above)
    place -= length * np.arange(draws)[:, None]
    found = np.take_along_axis(best, np.minimum(place, length - 1), axis=1)
    return np.where(place < length, found, 0)


def _ranks(matches: ImageMatches) -> NDArray:
    """The place of each detection among those of its class on its image, from 0, (D,)."""
    count = len(matches.score)
    if not count:
        return np.zeros(0, np.int64)
    pairs = matches.label.astype(np.int64) * len(matches.images) + matches.image
    starts = np.flatnonzero(np.r_[True, pairs[1:] != pairs[:-1]])
    return np.arange(count) - np.repeat(starts, np.diff(np.r_[starts, count]))


def _mean(precision: NDArray) -> float:
    known = precision[precision > -1]
    return float(np.mean(known)) if known.size else float('nan')
