"""Metrics that an evaluator gives: by which of them detectors are compared, what is a number."""

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from mmdet_lcp.errors import CompressionError

_AT_HALF = ('AP50', 'AP_50')  # how keys of the AP at IoU 0.5 end


def main_metric(metrics: dict[str, Any]) -> str:
    """Pick the key by which detectors are compared.

    The mean over IoU thresholds comes first (``*mAP``), then AP at IoU 0.5 (``*AP50``,
    ``*mAP_50``); boxes before masks; else the first number.

    Args:
        metrics: An evaluator's result.

    Returns:
        The key.

    Raises:
        CompressionError: There is no number in ``metrics``.
    """
    keys = _boxes_first(metrics)
    for endings in (('mAP', 'AP'), _AT_HALF):
        for key in keys:
            if key.endswith(endings):
                return key
    if not keys:
        raise CompressionError(
            'the evaluator returned no number; set val_evaluator or test_evaluator in the config '
            "(type='VOCMetric' or 'CocoMetric')."
        )
    return keys[0]


def metric_at_half(metrics: dict[str, Any]) -> str | None:
    """The key of the AP at IoU 0.5, that of boxes before that of masks; ``None`` without one."""
    return next((key for key in _boxes_first(metrics) if key.endswith(_AT_HALF)), None)


def is_number(value: Any) -> bool:
    """Whether a metric is a number that can be shown or drawn."""
    return isinstance(value, Real) and not isinstance(value, bool)


def number(value: Any, default: float | None = math.nan) -> float | None:
    """A metric as a float, or a default for what is no number."""
    return float(value) if is_number(value) else default


def found_nothing(metrics: Mapping[str, Any]) -> bool:
    """Whether a detector was measured and no metric is above 0: no box of it is right."""
    values = [value for value in metrics.values() if is_number(value)]
    return bool(values) and all(value <= 0 for value in values)


def with_zeros(metrics: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What a detector was measured with; zeros where an evaluator has returned no number.

    Some evaluators return nothing of a detector that has found nothing.

    Args:
        metrics: Of a detector that was measured.
        others: What the same evaluator has told of other detectors: the first of them with a
            number says which metrics there are. -1, COCO's "no such objects", stays.

    Returns:
        The metrics as they are where there is any number, in them or nowhere.
    """
    if any(map(is_number, metrics.values())):
        return dict(metrics)
    for other in others:
        known = {key: value for key, value in other.items() if is_number(value)}
        if known:
            return {**metrics, **{k: -1.0 if v == -1 else 0.0 for k, v in known.items()}}
    return dict(metrics)


def _boxes_first(metrics: dict[str, Any]) -> list[str]:
    """The keys of numbers: those of masks last, else in the evaluator's order."""
    keys = [key for key, value in metrics.items() if is_number(value)]
    return sorted(keys, key=lambda key: 'segm' in key)
