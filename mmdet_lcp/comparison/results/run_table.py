"""Several runs in one table: those that differ in their seed alone make one row."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet_lcp.comparison.results.comparison import Spread, shown_metrics, spread
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.report.report import REPORT_JSON, Report, read_report
from mmdet_lcp.report.tables import (
    MISSING,
    format_bytes,
    format_count,
    format_factor,
    format_metric,
    metric_name,
)

_SEED = re.compile(r'[/_-]s(eed)?_?\d+$')


def find_reports(folders: Sequence[str | Path]) -> dict[str, Report]:
    """Read the reports of runs.

    Args:
        folders: work_dirs, or folders that hold work_dirs.

    Returns:
        Report by the work_dir's path below the folder that was named; in the order of the folders,
        those inside one by name. Runs that have not ended are left out.

    Raises:
        CompressionError: there is no report, or one cannot be read.
    """
    found: dict[str, Report] = {}
    for folder in map(Path, folders):
        if (folder / REPORT_JSON).exists():
            found[folder.name] = read_report(folder)
            continue
        for path in sorted(folder.rglob(REPORT_JSON)):
            found[str(path.parent.relative_to(folder))] = read_report(path)
    if not found:
        raise CompressionError(
            f'no {REPORT_JSON} in {", ".join(map(str, folders))}: name the work_dirs of runs that '
            'have ended, or a folder that holds them'
        )
    return found


def by_row(reports: dict[str, Report]) -> dict[str, list[Report]]:
    """Reports by the name of their row: a work_dir's name without the seed at its end.

    ``ssd_1bit_s0``, ``ssd_1bit_seed1`` and ``ssd_1bit-s2`` are runs of ``ssd_1bit``.
    """
    rows: dict[str, list[Report]] = {}
    for name, report in reports.items():
        rows.setdefault(_SEED.sub('', name) or name, []).append(report)
    return rows


def run_table(reports: dict[str, Report]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows: mean ± standard deviation over the runs of a row, and costs.

    The first row is the dense detector of each row where they differ, else of all. Metrics of the
    same name share a column, VOC's ``pascal_voc/mAP`` and COCO's ``coco/bbox_mAP``.
    """
    rows = by_row(reports)
    names = list(
        dict.fromkeys(n for report in reports.values() for n in _named(report.compressed.metrics))
    )
    headers = ['run', 'seeds', *names, 'parameters', 'MACs', 'file']
    table: list[list[str]] = []
    shown: list[Any] = []
    for label, runs in rows.items():
        dense = runs[0].dense
        named = _named(dense.metrics)
        facts = [[format_metric(named.get(name)) for name in names], dense.params, dense.macs]
        if facts not in shown:
            shown.append(facts)
            costs = [format_count(dense.params), format_count(dense.macs)]
            name = 'dense' if len(shown) == 1 else f'dense, of {label}'
            table.append([name, '', *facts[0], *costs, format_bytes(dense.file_bytes)])
        of_runs = [_named(run.compressed.metrics) for run in runs]
        spreads = [spread(named.get(name) for named in of_runs) for name in names]
        costs = [
            format_count(_mean(runs, 'params')),
            format_count(_mean(runs, 'macs')),
            _file(runs),
        ]
        table.append([label, str(len(runs)), *map(_spread_text, spreads), *costs])
    return headers, table


def run_csv(reports: dict[str, Report]) -> str:
    """One row a run, with every metric before and after, and the costs."""
    metrics = list(dict.fromkeys(k for r in reports.values() for k in r.compressed.metrics))
    costs = ('params', 'macs', 'latency_ms', 'file_bytes')
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    states = ('dense', 'compressed')
    header = [f'{state} {key}' for state in states for key in (*metrics, *costs)]
    writer.writerow(['run', 'method', 'seed', 'seconds', *header, 'command'])
    for name, report in reports.items():
        values = []
        for facts in (report.dense, report.compressed):
            values += [facts.metrics.get(key) for key in metrics]
            values += [getattr(facts, key) for key in costs]
        writer.writerow(
            [name, report.method, report.seed, round(report.seconds), *values, report.command]
        )
    return text.getvalue()


def _named(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics to show, by their name in the header of a table."""
    return {metric_name(key): metrics[key] for key in shown_metrics([metrics])}


def _mean(runs: Sequence[Report], key: str) -> float | None:
    return spread(getattr(run.compressed, key) for run in runs).mean


def _file(runs: Sequence[Report]) -> str:
    """The mean size, and how many times smaller it is than the dense detector's file."""
    mean, dense = _mean(runs, 'file_bytes'), runs[0].dense.file_bytes
    if not mean or not dense:
        return format_bytes(mean)
    return f'{format_bytes(mean)} ({format_factor(dense / mean)})'


def _spread_text(found: Spread) -> str:
    if found.mean is None:
        return MISSING
    text = format_metric(found.mean)
    return text if found.deviation is None else f'{text} ± {found.deviation:.3f}'
