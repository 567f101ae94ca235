"""Checks of config values: what is out of range, or no number at all, is named with its key."""

import math
from numbers import Real
from typing import Any

from mmdet_lcp.errors import CompressionError


def check_integer(where: str, value: Any, least: int) -> None:
    """Raise a CompressionError unless ``value`` is an integer of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise CompressionError(f'{where}={value!r} must be an integer >= {least}')


def check_positive(where: str, value: Any) -> None:
    """Raise a CompressionError unless ``value`` is a finite number above 0."""
    if not _is_number(value) or not value > 0:
        raise CompressionError(f'{where}={value!r} must be a number > 0')


def check_not_negative(where: str, value: Any) -> None:
    """Raise a CompressionError unless ``value`` is a finite number of at least 0."""
    if not _is_number(value) or not value >= 0:
        raise CompressionError(f'{where}={value!r} must be a number >= 0')


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
