"""All ratios of a comparison in one table, the best method of each ratio first."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mmdet_lcp.comparison.results.comparison import CellResult, Comparison, Spread, over_seeds
from mmdet_lcp.comparison.results.removal_amount import amount_title
from mmdet_lcp.report.tables import format_metric, markdown_table, metric_name

SUMMARY_MD = 'summary.md'

_SAME = 1e-3  # MACs that differ by less count as equal


@dataclass
class _Row:
    """A method at a ratio: its first metric before the retraining, then all of them at the end."""

    method: str
    macs: float | None
    spreads: list[Spread]

    @property
    def mean(self) -> float:
        """The first metric at the end."""
        assert self.spreads[1].mean is not None
        return self.spreads[1].mean


def comparison_summary(comparison: Comparison) -> str:
    """Markdown: mean ± standard deviation over the seeds that have ended.

    A ratio's best mean is bold in the first metric, before the retraining and at the end. On top
    stand the dense detector and what is as large as it.
    """
    keys = comparison.metric_keys()
    if not keys:
        return 'No run has ended yet.\n'
    names = [metric_name(key) for key in keys]
    dense = comparison.dense()
    dense_macs = dense.dense_macs if dense else None
    lines, whole = [], []
    for ratio in comparison.ratios:
        rows = _rows(comparison, ratio, keys)
        whole += [row for row in rows if _as_large(row, dense_macs)]
        rows = [row for row in rows if not _as_large(row, dense_macs)]
        rows.sort(key=lambda row: -row.mean)
        best = [_best(row.spreads[column].mean for row in rows) for column in (0, 1)]
        for row in rows:
            lines.append([_size(ratio, row.macs, dense_macs), *_texts(row, best)])
    top = [['', *_texts(row, ())] for row in whole]
    if dense is not None:
        top.insert(0, ['', 'dense', '1', '', *(format_metric(dense.dense.get(k)) for k in keys)])
    headers = ['ratio', 'method', 'seeds', f'{names[0]} before retraining', *names]
    notes = [f'{line}.' for line in comparison.remarks()]
    return '\n\n'.join([markdown_table(headers, [*top, *lines], words=2), *notes]) + '\n'


def _rows(comparison: Comparison, ratio: float | str, keys: Sequence[str]) -> list[_Row]:
    """The methods of which a run at this ratio has ended and was measured."""
    values: list[Callable[[CellResult], Any]] = [lambda cell: cell.selected.get(keys[0])]
    values += [lambda cell, k=key: cell.final.get(k) for key in keys]
    rows = []
    for method in comparison.methods:
        cells = [c for c in comparison.of(method, ratio) if c.same_as is None]
        spreads = [over_seeds(cells, value) for value in values]
        if spreads[1].count:
            rows.append(_Row(method, over_seeds(cells, lambda c: c.macs).mean, spreads))
    return rows


def _best(means: Iterable[float | None]) -> float | None:
    return max((mean for mean in means if mean is not None), default=None)


def _texts(row: _Row, best: Sequence[float | None]) -> list[str]:
    texts = [row.method, str(row.spreads[1].count)]
    for column, found in enumerate(row.spreads):
        text = '' if found.mean is None else format_metric(found.mean)
        bold = column < len(best) and text == format_metric(best[column])
        if found.deviation is not None:
            text += f' ± {found.deviation:.3f}'
        texts.append(f'**{text}**' if bold else text)
    return texts


def _size(ratio: float | str, macs: float | None, dense_macs: float | None) -> str:
    """The ratio, and what is gone of the multiply-accumulates: ``0.5 (−73 % MACs)``."""
    title = amount_title(ratio).removeprefix('ratio ')
    if macs is None or not dense_macs:
        return title
    change = f'{100 * (macs / dense_macs - 1):+.0f}'.replace('-', '−')
    return f'{title} ({change} % MACs)'


def _as_large(row: _Row, dense_macs: float | None) -> bool:
    if row.macs is None or dense_macs is None:
        return False
    return abs(row.macs - dense_macs) <= _SAME * dense_macs
