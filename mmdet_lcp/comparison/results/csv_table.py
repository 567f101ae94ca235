"""A comparison as CSV, one row a cell, and the way back."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdet_lcp.comparison.results.comparison import (
    FAILED_STATE,
    FINISHED,
    MISSING_STATE,
    CellResult,
    Comparison,
)
from mmdet_lcp.comparison.results.intervals import is_kept, of_cell
from mmdet_lcp.errors import CompressionError

TABLE_CSV = 'table.csv'

_SAME = 'same_as'  # tables that are older than it do not have it
_METRICS = ('dense', 'selected', 'final')
_MOMENTS = (('selected', 'mAP'), ('final', 'mAP'))  # that have intervals
_WHO = ('method', 'update', 'ratio', 'seed', 'state', 'iterations')
_COSTS = ('params', 'params_ratio', 'macs', 'macs_ratio', 'seconds_selection', 'seconds')


def comparison_csv(comparison: Comparison) -> str:
    """One row a cell; a cell that has not finished has its name and state only.

    Metrics stand in columns ``dense KEY``, ``selected KEY`` (before the retraining) and
    ``final KEY``; the ends of the run's intervals over the test images in ``selected_low mAP``,
    ``selected_high mAP``, ``final_low mAP`` and ``final_high mAP``, where they are kept.
    ``params_ratio`` and ``macs_ratio`` are relations to the dense detector.
    """
    dense = comparison.dense()
    metrics = {
        group: list(dict.fromkeys(k for c in comparison.cells for k in getattr(c, group)))
        for group in _METRICS
    }
    columns = [*_WHO]
    columns += [f'{group} {key}' for group in _METRICS for key in metrics[group]]
    ends = _MOMENTS if is_kept(comparison) else ()
    columns += [f'{moment}_{end} {key}' for moment, key in ends for end in ('low', 'high')]
    columns += [*_COSTS, _SAME]
    rows: list[list[Any]] = []
    for cell in comparison.cells:
        row: list[Any] = [getattr(cell, key) for key in _WHO]
        row += [getattr(cell, group).get(key) for group in _METRICS for key in metrics[group]]
        for moment, _ in ends:
            row += _ends(cell, moment)
        row += [cell.params, _relation(cell.params, dense and dense.dense_params)]
        row += [cell.macs, _relation(cell.macs, dense and dense.dense_macs)]
        rows.append([*row, cell.seconds_selection, cell.seconds, cell.same_as])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerows([columns, *rows])
    return text.getvalue()


def read_comparison_csv(path: str | os.PathLike) -> Comparison:
    """Read what `comparison_csv` wrote.

    What does not stand in it is gone: the metrics after each group, the command and the config.
    The dense detector's costs come from those of a cell and their relation, to six digits.

    Raises:
        CompressionError: there is no such file, or it is no such table; it is named, with the row.
    """
    path = Path(path)
    try:
        with path.open(encoding='utf-8', newline='') as file:
            reader = csv.DictReader(file)
            missing = {*_WHO, *_COSTS} - set(reader.fieldnames or ())
            if missing:
                raise CompressionError(
                    f'{path} is no table of a comparison: it has no column '
                    f'{", ".join(sorted(missing))}'
                )
            cells = [_cell(row, f'{path}, line {reader.line_num}') for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CompressionError(f'{path} cannot be read: {error}') from error
    return Comparison(cells, list(dict.fromkeys(cell.method for cell in cells)))


def _cell(row: Mapping[str, Any], where: str) -> CellResult:
    try:
        if None in row or None in row.values():
            raise ValueError('it has not as many fields as the first line')
        if row['state'] not in (FINISHED, FAILED_STATE, MISSING_STATE):
            raise ValueError(f'there is no state {row["state"]!r}')
        found: dict[str, dict[str, float]] = {group: {} for group in _METRICS}
        for column, text in row.items():
            group, _, key = column.partition(' ')
            if group in found and text:
                found[group][key] = float(text)
        params, macs = _whole(row['params']), _whole(row['macs'])
        return CellResult(
            row['method'],
            _amount(row['ratio']),
            int(row['seed']),
            row['update'] or None,
            row['state'],
            row['iterations'],
            **found,
            params=params,
            macs=macs,
            dense_params=_before(params, row['params_ratio']),
            dense_macs=_before(macs, row['macs_ratio']),
            seconds_selection=_number(row['seconds_selection']),
            seconds=_number(row['seconds']),
            same_as=row.get(_SAME) or None,
        )
    except ValueError as error:
        raise CompressionError(f'{where}: {error}') from error


def _ends(cell: CellResult, moment: str) -> list[float | None]:
    """The interval of a run's mAP over the test images, where it is kept."""
    found = of_cell(cell, moment) if cell.state == FINISHED else None
    if found is None or found[0] is None:
        return [None, None]
    return [round(found[0].low, 6), round(found[0].high, 6)]


def _amount(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _number(text: str) -> float | None:
    return float(text) if text else None


def _whole(text: str) -> int | None:
    return int(text) if text else None


def _before(after: int | None, relation: str) -> int | None:
    return None if after is None or not relation else round(after / float(relation))


def _relation(after: float | None, before: float | None) -> float | None:
    return None if after is None or not before else round(after / before, 6)
