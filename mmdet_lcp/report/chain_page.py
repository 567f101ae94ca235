"""The page of a chain, ``report.html``: the detector after each link, and the way to each."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json
from mmdet_lcp.measure.hardware import versions
from mmdet_lcp.measure.metrics import number
from mmdet_lcp.report.chain_report import (
    CHAIN_REPORT_JSON,
    CHAIN_STATE_JSON,
    ChainReport,
    chain_metrics,
    chain_table,
    in_all,
)
from mmdet_lcp.report.figures import new_figure, write_names
from mmdet_lcp.report.html import write_page
from mmdet_lcp.report.report import REPORT_HTML
from mmdet_lcp.report.run_page import Chart, chart_of
from mmdet_lcp.report.tables import metric_name

_MARKERS = ('o', 's')


@dataclass
class ChainPage:
    """What the page of a chain shows.

    Attributes:
        report: The links so far.
        name: Of the folder.
        state: '' of a chain that has ended, else how far it is, in words.
        chart: Metric and size after each link.
        pages: Link and page, relative to the chain's, of those that have one.
    """

    report: ChainReport
    name: str
    state: str
    chart: Chart | None
    pages: list[tuple[str, str]]


def write_chain_page(work_dir: str | os.PathLike) -> Path:
    """Write ``report.html`` into the folder of a chain, ended or not.

    Raises:
        CompressionError: there is no chain, or a file of it is damaged.
    """
    folder = Path(work_dir)
    page = chain_page(folder)
    path = folder / REPORT_HTML
    write_page(
        path,
        'chain.html',
        page=page,
        title=f'Chain: {page.name}',
        table=chain_table(page.report),
        in_all=in_all(page.report),
        version=versions()['mmdet_lcp'],
    )
    return path


def chain_page(work_dir: str | os.PathLike) -> ChainPage:
    """Gather what a page shows.

    Raises:
        CompressionError: there is no chain, or a file of it is damaged.
    """
    folder = Path(work_dir)
    ended, begun = folder / CHAIN_REPORT_JSON, folder / CHAIN_STATE_JSON
    path = ended if ended.exists() else begun
    if not path.exists():
        raise CompressionError(f'{folder} holds no chain: it has no {CHAIN_REPORT_JSON}')
    data = read_json(path)
    try:
        report = ChainReport.from_dict(data)
    except CompressionError as error:
        raise CompressionError(f'{path}: {error}') from error
    state = ''
    if path == begun:
        done = len(data.get('ended', []))
        state = (
            f'This chain has not ended: {done} link{"" if done == 1 else "s"} of it so far. It is '
            'under way or was stopped half-way. The page shows what there is.'
        )
    pages = [
        (link.method or link.name, f'{link.folder}/{REPORT_HTML}')
        for link in report.links
        if link.folder and (folder / link.folder / REPORT_HTML).is_file()
    ]
    chart = chart_of(lambda width: _figure(report, width), 'Metric and size after each link')
    return ChainPage(report, folder.resolve().name, state, chart, pages)


def is_chain(work_dir: Path) -> bool:
    """Whether a folder holds a chain that this page can be made of."""
    return any((work_dir / name).exists() for name in (CHAIN_REPORT_JSON, CHAIN_STATE_JSON))


def _figure(report: ChainReport, width: float):
    """Metrics on the left, megabytes of the file on the right."""
    keys, links = chain_metrics(report.links), report.links
    if not links:
        return None
    figure = new_figure(width, 3.4, layout='constrained')
    left, right = figure.subplots(1, 2) if width > 6 else figure.subplots(2, 1, sharex=True)
    places = range(len(links))
    for key, marker in zip(keys, _MARKERS, strict=False):
        values = [number(link.detector.metrics.get(key)) for link in links]
        left.plot(places, values, marker=marker, label=metric_name(key))
    sizes = [link.detector.file_bytes or math.nan for link in links]
    right.bar(places, [size / 1e6 for size in sizes], color='#2f86c9', width=0.6)
    right.set_ylabel('file, MB')
    for axes in (left, right):
        write_names(axes, [link.name for link in links])
        axes.grid(axis='y', alpha=0.3)
    if keys:
        left.legend(loc='best', fontsize='small')
    return figure
