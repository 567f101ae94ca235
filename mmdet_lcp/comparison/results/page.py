"""The page of a comparison, ``report.html``: charts, means, and a table of all runs to sort."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdet_lcp.comparison.results.comparison import CellResult, Comparison
from mmdet_lcp.comparison.results.intervals import absent_classes
from mmdet_lcp.comparison.results.pairs import explanation, pair_table
from mmdet_lcp.comparison.results.pictures import cost_figure, latency_figure, steps_figure
from mmdet_lcp.comparison.results.removal_amount import amount_name, amount_title
from mmdet_lcp.comparison.results.tables import prunes, ratio_table, state_of_runs
from mmdet_lcp.measure.hardware import versions
from mmdet_lcp.report.html import write_page
from mmdet_lcp.report.report import REPORT_HTML
from mmdet_lcp.report.run_page import Chart, Table, chart_of
from mmdet_lcp.report.tables import (
    format_count,
    format_metric,
    format_ms,
    format_seconds,
    metric_name,
)


@dataclass(frozen=True)
class Shown:
    """A cell of the table.

    Attributes:
        text: as it is read.
        value: what it is sorted by.
    """

    text: str
    value: Any


@dataclass
class ComparisonPage:
    """What the page of a comparison shows.

    Attributes:
        comparison: its cells.
        state: how many runs have ended, in words.
        charts: heading and chart.
        means: for each amount its title, '' where there is but one kind, and the methods over
            their seeds.
        headers: of the table of all runs.
        rows: one a run: the address of its page, '' where it has none, and the cells.
        remarks: what has to be known of the figures.
        pairs: for each amount with intervals its title and the methods against one of them.
        intervals: what the intervals are, in a sentence.
    """

    comparison: Comparison
    state: str
    charts: list[tuple[str, Chart]]
    means: list[tuple[str, Table]]
    headers: list[str]
    rows: list[tuple[str, list[Shown]]]
    remarks: list[str]
    pairs: list[tuple[str, Table]]
    intervals: str


def write_comparison_page(comparison: Comparison, folder: str | os.PathLike) -> Path:
    """Write ``report.html``.

    Args:
        comparison: the cells, ended or not.
        folder: where the page goes; pages of runs are linked from there.
    """
    page = comparison_page(comparison, folder)
    path = Path(folder) / REPORT_HTML
    write_page(
        path,
        'comparison.html',
        'mmdet_lcp.comparison.results',
        page=page,
        title=f'Comparison: {comparison.config or Path(folder).resolve().name}',
        version=versions()['mmdet_lcp'],
    )
    return path


def comparison_page(comparison: Comparison, folder: str | os.PathLike) -> ComparisonPage:
    """Gather what a page shows.

    Args:
        comparison: the cells, ended or not.
        folder: where the page will lie.
    """
    charts = [
        (words, chart_of(lambda width, draw=draw: draw(comparison, width), words))
        for words, draw in (
            ('Metric against multiply-accumulates', cost_figure),
            ('Metric against milliseconds', latency_figure),
            ('Metric after each group', steps_figure),
        )
    ]
    means, pairs = [], []
    for ratio in comparison.ratios:
        headers, rows = ratio_table(comparison, ratio)
        title = amount_title(ratio) if prunes(comparison) else ''
        title = f'{title[:1].upper()}{title[1:]}'
        means.append((title, (headers, rows)))
        if (table := pair_table(comparison, ratio)) is not None:
            pairs.append((title, table))
    keys = comparison.metric_keys()
    names = [metric_name(key) for key in keys]
    selected = [f'{name} before retraining' for name in names[:1] if prunes(comparison)]
    headers = ['method', 'amount', 'seed', 'state', *names, *selected]
    headers += ['MACs', 'parameters', 'latency', 'time']
    return ComparisonPage(
        comparison,
        state_of_runs(comparison),
        [(words, chart) for words, chart in charts if chart is not None],
        means,
        headers,
        [(_address(cell, folder), _row(cell, keys, bool(selected))) for cell in comparison.cells],
        [*comparison.disagreements(), *comparison.remarks(), *absent_classes(comparison)],
        pairs,
        explanation(comparison),
    )


def _row(cell: CellResult, keys: list[str], selected: bool) -> list[Shown]:
    state = cell.state if cell.same_as is None else f'as {cell.same_as}'
    row = [
        Shown(cell.method, cell.method),
        Shown(amount_name(cell.ratio), amount_name(cell.ratio)),
        Shown(str(cell.seed), cell.seed),
        Shown(state, state),
        *(_figure(cell.final.get(key), format_metric) for key in keys),
    ]
    if selected:
        row.append(_figure(cell.selected.get(keys[0]), format_metric))
    return [
        *row,
        _figure(cell.macs, format_count),
        _figure(cell.params, format_count),
        _figure(cell.latency_ms, format_ms),
        _figure(cell.seconds, format_seconds),
    ]


def _figure(value: float | None, show: Callable[[float | None], str]) -> Shown:
    return Shown(show(value), '' if value is None else value)


def _address(cell: CellResult, folder: str | os.PathLike) -> str:
    """Where the page of a cell's run lies, as a link from the comparison's page."""
    page = Path(cell.run_dir, REPORT_HTML)
    if not cell.run_dir or not page.is_file():
        return ''
    return Path(os.path.relpath(page, folder)).as_posix()
