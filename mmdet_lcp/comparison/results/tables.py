"""The table of a comparison as Markdown: a section a ratio, methods over their seeds."""

import os
from collections.abc import Sequence
from pathlib import Path

from mmdet_lcp.comparison.results.comparison import (
    FAILED_STATE,
    FINISHED,
    CellResult,
    Comparison,
    Spread,
    over_seeds,
)
from mmdet_lcp.comparison.results.csv_table import TABLE_CSV, comparison_csv
from mmdet_lcp.comparison.results.intervals import DENSE, absent_classes, is_kept
from mmdet_lcp.comparison.results.pairs import explanation, interval_text, pair_table
from mmdet_lcp.comparison.results.removal_amount import amount_title
from mmdet_lcp.files import write_text
from mmdet_lcp.report.tables import (
    MISSING,
    format_change,
    format_count,
    format_metric,
    format_seconds,
    markdown_table,
    metric_name,
)

_WITH_INTERVAL = 'bbox_mAP'

TABLE_MD = 'table.md'
MAP_PNG = 'map_vs_macs.png'
STEPS_PNG = 'map_by_group.png'


def write_tables(comparison: Comparison, folder: str | os.PathLike) -> None:
    """Write ``table.csv`` and ``table.md``, each whole or not at all."""
    folder = Path(folder)
    write_text(folder / TABLE_CSV, comparison_csv(comparison))
    write_text(folder / TABLE_MD, comparison_markdown(comparison, folder))


def comparison_markdown(comparison: Comparison, folder: str | os.PathLike = '.') -> str:
    """Lay out ``table.md``: a section a ratio, a row a method.

    Args:
        comparison: the cells.
        folder: where it will lie; pictures that exist there are shown.
    """
    parts = [f'# Comparison{f": {comparison.config}" if comparison.config else ""}']
    parts.append(
        f'{state_of_runs(comparison)} Mean ± standard deviation over the seeds (their number); '
        'the best mean of a column is bold.'
    )
    if comparison.ratios:
        parts.append(explanation(comparison))
    parts += [f'**Warning:** {line}' for line in comparison.disagreements()]
    notes = [*comparison.remarks(), *absent_classes(comparison)]
    parts += [f'**Note:** {line}.' for line in notes]
    for ratio in comparison.ratios:
        if prunes(comparison):
            title = amount_title(ratio)
            parts.append(f'## {title[0].upper()}{title[1:]}')
        parts.append(markdown_table(*ratio_table(comparison, ratio)))
        if (pairs := pair_table(comparison, ratio)) is not None:
            parts.append(markdown_table(*pairs, words=2))
    for name, words in (
        (MAP_PNG, 'Metric against multiply-accumulates'),
        (STEPS_PNG, 'Metric after each group'),
    ):
        if (Path(folder) / name).exists():
            parts.append(f'![{words}]({name})')
    if comparison.command:
        parts += ['## To repeat it', f'```\n{comparison.command}\n```']
    return '\n\n'.join(parts) + '\n'


def state_of_runs(comparison: Comparison) -> str:
    """How many runs have ended, in a sentence."""
    runs = [cell for cell in comparison.cells if cell.same_as is None]
    ended = sum(cell.state == FINISHED for cell in runs)
    failed = sum(cell.state == FAILED_STATE for cell in runs)
    state = f'{ended} of {len(runs)} runs have ended'
    return state + (f', {failed} failed.' if failed else '.')


def ratio_table(
    comparison: Comparison, ratio: float | str
) -> tuple[list[str], list[list[str | None]]]:
    """The methods at one amount: headers and rows; what is best of a column stands in ``**``."""
    keys = comparison.metric_keys()
    names = [metric_name(key) for key in keys]
    before = [f'{name} before retraining' for name in names[:1]]
    known = bool(keys) and keys[0].endswith(_WITH_INTERVAL) and is_kept(comparison)
    ends = [f'{name} 95 %' for name in (*names[:1], *before)] if known else []
    headers = ['method', *names, *before, *ends, 'params', 'MACs', 'selection', 'seconds', 'seeds']
    methods = [m for m in comparison.methods if comparison.of(m, ratio)]
    cells = {method: comparison.of(method, ratio) for method in methods}
    columns = [
        _metric_column([over_seeds(cells[m], lambda c, k=key: c.final.get(k)) for m in methods])
        for key in keys
    ]
    columns += [
        _metric_column([over_seeds(cells[m], lambda c, k=key: c.selected.get(k)) for m in methods])
        for key in keys[:1]
    ]
    columns += [
        [interval_text(comparison, m, ratio, moment) for m in methods]
        for moment in (('final', 'selected') if known else ())
    ]
    dense = comparison.dense()
    rows: list[list[str | None]] = []
    if dense is not None:
        metrics = [format_metric(dense.dense.get(key)) for key in keys]
        costs = [format_count(dense.dense_params), format_count(dense.dense_macs)]
        own = [interval_text(comparison, DENSE, ratio, DENSE), ''] if known else []
        rows.append(['dense', *metrics, *([''] if keys else []), *own, *costs, '', '', ''])
    for i, method in enumerate(methods):
        own = cells[method]
        label = method if all(c.same_as is None for c in own) else f'{method} (= {_same(own)})'
        rows.append(
            [
                label,
                *(column[i] for column in columns),
                _cost(own, 'params', dense),
                _cost(own, 'macs', dense),
                format_seconds(over_seeds(own, lambda c: c.seconds_selection).mean),
                format_seconds(over_seeds(own, lambda c: c.seconds).mean),
                _seeds(own),
            ]
        )
    if not prunes(comparison):
        left_out = (*before, *ends[1:], 'selection')
        shown = [i for i, name in enumerate(headers) if name not in left_out]
        headers, *rows = ([row[i] for i in shown] for row in (headers, *rows))
    return headers, rows


def prunes(comparison: Comparison) -> bool:
    """Whether channels are selected anywhere; students and controls only train."""
    return any(cell.update is not None for cell in comparison.cells)


def _metric_column(spreads: Sequence[Spread]) -> list[str]:
    """The column's cells, the best mean in bold."""
    shown = [format_metric(s.mean) for s in spreads]
    means = [s.mean for s in spreads if s.mean is not None]
    best = format_metric(max(means)) if len(means) > 1 else None
    texts = []
    for s, mean in zip(spreads, shown, strict=True):
        text = f'**{mean}**' if mean == best and mean != MISSING else mean
        if s.deviation is not None:
            text += f' ± {s.deviation:.3f}'
        texts.append(f'{text} ({s.count})' if s.count else MISSING)
    return texts


def _cost(cells: Sequence[CellResult], key: str, dense: CellResult | None) -> str:
    mean = over_seeds(cells, lambda c: getattr(c, key)).mean
    text = format_count(mean)
    before = getattr(dense, f'dense_{key}') if dense else None
    if mean is None or before is None:
        return text
    return f'{text} ({format_change(before, mean).replace("-", "−")})'


def _seeds(cells: Sequence[CellResult]) -> str:
    ended = sum(cell.state == FINISHED for cell in cells)
    failed = sum(cell.state == FAILED_STATE for cell in cells)
    text = f'{ended}' if ended == len(cells) else f'{ended} of {len(cells)}'
    return f'{text}, {failed} failed' if failed else text


def _same(cells: Sequence[CellResult]) -> str:
    return next(c.same_as for c in cells if c.same_as).rpartition('_r')[0]
