"""`pruning.ratio` from a file: a fraction for each regular expression."""

import re
from typing import Any

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json
from mmdet_lcp.report.report import Report


def is_ratio_file(ratio: Any) -> bool:
    """Whether a `ratio` is the name of a file that holds it."""
    return isinstance(ratio, str) and ratio.endswith('.json')


def read_ratios(path: str) -> dict[str, float]:
    """Read a mapping from regular expression to fraction.

    Args:
        path: of a file that holds one, as ``mmdet-lcp sensitivity`` writes it; or of the
            ``report.json`` of a pruning run, for as many channels as are left there: what a target
            has found, for another method or seed, or to be trained from scratch.

    Raises:
        CompressionError: the file cannot be read, or holds something else.
    """
    try:
        ratios = read_json(path)
    except CompressionError as error:
        what = str(error).removeprefix(path)
        raise CompressionError(f'pruning.ratio={path!r}{what}') from error
    if isinstance(ratios, dict) and 'groups' in ratios:
        ratios = _of_report(ratios, path)
    if not isinstance(ratios, dict) or not ratios:
        raise CompressionError(
            f'pruning.ratio={path!r}: holds no mapping from regular expression to fraction'
        )
    return ratios


def _of_report(data: dict[str, Any], path: str) -> dict[str, float]:
    """The fraction that went of each group, by the group's name."""
    try:
        groups = Report.from_dict(data).groups
    except CompressionError as error:
        raise CompressionError(f'pruning.ratio={path!r}: {error}') from error
    return {
        f'^{re.escape(group.name)}$': 1 - group.kept / group.total
        for group in groups
        if group.kept < group.total
    }
