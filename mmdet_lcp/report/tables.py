"""Numbers as people read them, and tables of them for the terminal and for Markdown."""

import math
import re
from collections.abc import Sequence
from numbers import Real

from terminaltables import AsciiTable

MISSING = 'n/a'


def text_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    title: str | None = None,
    words: int = 1,
) -> str:
    """Lay out an aligned table in plain ASCII.

    Args:
        headers: One heading a column.
        rows: One sequence of cells a row, as long as ``headers``; cells are shown with ``str``,
            None as ``n/a``.
        title: Stands in the top border.
        words: So many columns from the left hold words and are aligned left, the others right.

    Returns:
        The table, without a newline at the end.

    Raises:
        ValueError: A row has not as many cells as there are headings.
    """
    table = AsciiTable([list(headers), *_cells(headers, rows)], title)
    table.justify_columns = {column: 'right' for column in range(words, len(headers))}
    return table.table


def markdown_table(
    headers: Sequence[str], rows: Sequence[Sequence[object]], words: int = 1
) -> str:
    """Lay out a table in Markdown, aligned in the source too.

    Args:
        headers: One heading a column.
        rows: One sequence of cells a row, as long as ``headers``; cells are shown with ``str``,
            None as ``n/a``; bars, line breaks and dollars (formulas, to some) are escaped.
        words: So many columns from the left hold words and are aligned left, the others right.

    Returns:
        The table, without a newline at the end.

    Raises:
        ValueError: A row has not as many cells as there are headings.
    """
    lines = [
        [_escaped(cell) for cell in row]
        for row in [list(map(str, headers)), *_cells(headers, rows)]
    ]
    widths = [max(4, *(len(line[column]) for line in lines)) for column in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        left = [cell.ljust(width) for cell, width in zip(cells[:words], widths, strict=False)]
        pairs = zip(cells[words:], widths[words:], strict=True)
        return f'| {" | ".join(left + [cell.rjust(width) for cell, width in pairs])} |'

    rule = [':' + '-' * (width - 1) for width in widths[:words]]
    rule += ['-' * (width - 1) + ':' for width in widths[words:]]
    return '\n'.join([line(lines[0]), line(rule), *map(line, lines[1:])])


def format_count(count: float | None) -> str:
    """Write a number of parameters or multiply-accumulates: ``1.23 M``, ``4.56 G``, ``950``."""
    return _scaled(count, ('', 'k', 'M', 'G', 'T', 'P'), decimals=2)


def format_bytes(size: float | None) -> str:
    """Write a size given in bytes, in powers of 1000: ``1.2 MB``."""
    return _scaled(size, ('B', 'kB', 'MB', 'GB', 'TB'), decimals=1)


def format_ms(milliseconds: float | None) -> str:
    """Write a time given in milliseconds: ``12.3 ms``."""
    return MISSING if _is_missing(milliseconds) else f'{milliseconds:.1f} ms'


def format_seconds(seconds: float | None) -> str:
    """Write a time given in seconds: ``1 h 02 min``, ``3 min 05 s``, ``4.2 s``, ``0.013 s``."""
    if _is_missing(seconds):
        return MISSING
    if seconds < 59.95:
        return f'{seconds:.1f} s' if seconds >= 1 or seconds == 0 else f'{seconds:.3f} s'
    if round(seconds) < 3600:
        return f'{round(seconds) // 60} min {round(seconds) % 60:02d} s'
    minutes = round(seconds / 60)
    return f'{minutes // 60} h {minutes % 60:02d} min'


def metric_name(key: str) -> str:
    """A metric's key in the words of a table's header: ``pascal_voc/AP50`` and
    ``coco/bbox_mAP_50`` are both ``AP50``.
    """
    return re.sub(r'^mAP_(\d+)$', r'AP\1', key.rpartition('/')[2].removeprefix('bbox_'))


def format_metric(value: float | None) -> str:
    """Write a metric of the range 0 to 1: ``0.836``; -1, COCO's "no such objects", is ``n/a``."""
    return MISSING if _is_missing(value) or value == -1 else f'{value:.3f}'


def format_change(before: float | None, after: float | None) -> str:
    """Write the relative change: ``-74.9 %``; ``n/a`` where there is nothing to compare with."""
    if _is_missing(before) or _is_missing(after) or before == 0:
        return MISSING
    return f'{100 * (after - before) / abs(before):+.1f} %'.replace('-0.0 %', '+0.0 %')


def format_difference(before: float | None, after: float | None) -> str:
    """Write the absolute change of a metric: ``-0.012``."""
    if MISSING in (format_metric(before), format_metric(after)):
        return MISSING
    return f'{after - before:+.3f}'.replace('-0.000', '+0.000')


def format_factor(factor: float | None) -> str:
    """Write how many times something is smaller: ``29.5x``."""
    return MISSING if _is_missing(factor) else f'{factor:.1f}x'


def _scaled(value: float | None, units: Sequence[str], decimals: int) -> str:
    if _is_missing(value):
        return MISSING
    index = 0
    while abs(value) >= 1000 - 0.5 * 10**-decimals * (index > 0) and index < len(units) - 1:
        value /= 1000
        index += 1
    number = f'{value:.{decimals}f}' if index else f'{value:.0f}'
    return f'{number} {units[index]}'.rstrip()


def _escaped(cell: str) -> str:
    return cell.replace('|', '\\|').replace('$', '\\$').replace('\n', '<br>')


def _is_missing(value: float | None) -> bool:
    return value is None or (isinstance(value, Real) and not math.isfinite(value))


def _cells(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[list[str]]:
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(f'{len(row)} cells for {len(headers)} columns: {list(row)}')
    return [[MISSING if cell is None else str(cell) for cell in row] for row in rows]
