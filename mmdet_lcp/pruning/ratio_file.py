"""`pruning.ratio` from a file: a fraction for each regular expression."""

from typing import Any

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json


def is_ratio_file(ratio: Any) -> bool:
    """Whether a `ratio` is the name of a file that holds it."""
    return isinstance(ratio, str) and ratio.endswith('.json')


def read_ratios(path: str) -> dict[str, float]:
    """Read a mapping from regular expression to fraction, as ``mmdet-lcp sensitivity`` writes it.

    Raises:
        CompressionError: the file cannot be read, or holds something else.
    """
    try:
        ratios = read_json(path)
    except CompressionError as error:
        what = str(error).removeprefix(path)
        raise CompressionError(f'pruning.ratio={path!r}{what}') from error
    if not isinstance(ratios, dict) or not ratios:
        raise CompressionError(
            f'pruning.ratio={path!r}: holds no mapping from regular expression to fraction'
        )
    return ratios
