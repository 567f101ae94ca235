"""Who is ahead: a table of methods against one of them, with intervals."""

from mmdet_lcp.comparison.results.comparison import Comparison
from mmdet_lcp.comparison.results.intervals import (
    DENSE,
    MOMENTS,
    NOT_KEPT,
    Interval,
    is_kept,
    of_method,
    of_pair,
)
from mmdet_lcp.measure.resampled_ap import METRICS
from mmdet_lcp.report.tables import MISSING

UNTRAINED = '0'  # iterations of training, in words


def reference(comparison: Comparison) -> str | None:
    """The method that the others are compared with; ``None`` where there is none."""
    if comparison.against:
        return comparison.against
    return comparison.methods[0] if comparison.methods else None


def pair_table(
    comparison: Comparison, amount: float | str
) -> tuple[list[str], list[list[str]]] | None:
    """Each method at one amount against the reference: headers and rows.

    Differences are in points (hundredths) of each figure.

    Returns:
        ``None`` where there is nothing to compare, or no run has kept its detections.
    """
    against = reference(comparison)
    if against is None or not is_kept(comparison):
        return None
    if against != DENSE and not comparison.of(against, amount):
        return None
    rows = []
    for method in comparison.methods:
        cells = comparison.of(method, amount)
        if method == against or not cells:
            continue
        for moment, words in MOMENTS.items():
            if moment == 'selected' and not any(cell.update for cell in cells):
                continue  # a control is measured once
            if moment == 'selected' and against != DENSE and not _selects(comparison, amount):
                continue
            if moment == 'final' and all(cell.iterations == UNTRAINED for cell in cells):
                continue  # it is what was selected
            found = of_pair(comparison, method, against, amount, moment)
            if found is None:
                texts = [NOT_KEPT, *('' for _ in METRICS[1:])]
            else:
                texts = [MISSING if pair is None else pair.words() for pair in found]
            rows.append([method, words, *texts])
    if not rows:
        return None
    return [f'against {against}', 'measured', *METRICS], rows


def interval_text(comparison: Comparison, method: str, amount: float | str, moment: str) -> str:
    """The interval of a method's mAP, for a cell of a table."""
    found = of_method(comparison, method, amount, moment)
    if found is None:
        return NOT_KEPT
    return _text(found[0])


def explanation(comparison: Comparison) -> str:
    """What the intervals are, in a sentence."""
    if not is_kept(comparison):
        return (
            'Intervals over the test images are not kept by these runs: they were made before '
            'runs kept their detections, or are not measured by CocoMetric.'
        )
    return (
        'Brackets hold 95 % of 1000 bootstrap draws of the seeds and of the test images, the same '
        'images for all methods; differences are in points (hundredths), and methods are level '
        'where the interval holds 0.'
    )


def _selects(comparison: Comparison, amount: float | str) -> bool:
    """Whether the reference, too, was measured right after a selection."""
    against = reference(comparison)
    return any(cell.update for cell in comparison.of(against or '', amount))


def _text(found: Interval | None) -> str:
    return MISSING if found is None else str(found)
