"""The report of a chain of runs: the detector after each link, and what all of them come to."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json, write_json, write_text
from mmdet_lcp.measure.metrics import main_metric, metric_at_half, number
from mmdet_lcp.report.facts import DetectorFacts
from mmdet_lcp.report.tables import (
    MISSING,
    format_bytes,
    format_count,
    format_metric,
    format_seconds,
    markdown_table,
    text_table,
)
from mmdet_lcp.report.typed import check_types

CHAIN_REPORT_JSON = 'chain_report.json'
CHAIN_REPORT_MD = 'chain_report.md'
CHAIN_STATE_JSON = 'chain_state.json'  # of one that is under way


@dataclass
class LinkFacts:
    """The detector at the beginning, or after one link.

    Attributes:
        name: Of the link, ``'dense'`` for the beginning.
        detector: What is known of the detector.
        folder: Where the link's own report and files are, below the chain's folder.
        method: What was done.
        seconds: Wall time of the link.
    """

    name: str
    detector: DetectorFacts
    folder: str | None = None
    method: str | None = None
    seconds: float | None = None


@dataclass
class ChainReport:
    """All links, in order.

    Attributes:
        links: What the chain began with, if it is known, and what each link ended with.
    """

    links: list[LinkFacts] = field(default_factory=list)

    @property
    def factor(self) -> float | None:
        """Bytes at the beginning over bytes at the end; None where they are not known."""
        sizes = [link.detector.file_bytes for link in self.links]
        return sizes[0] / sizes[-1] if sizes and sizes[0] and sizes[-1] else None

    def to_dict(self) -> dict:
        """Return plain data."""
        return {**dataclasses.asdict(self), 'factor': self.factor}

    @classmethod
    def from_dict(cls, data: dict) -> 'ChainReport':
        """Build a report from what :meth:`to_dict` returned.

        Raises:
            CompressionError: It is something else.
        """
        try:
            links = [
                LinkFacts(**{**link, 'detector': DetectorFacts(**link['detector'])})
                for link in data['links']
            ]
            report = cls(links)
            check_types(report)
        except (KeyError, TypeError, CompressionError) as error:
            raise CompressionError(f'this is no report of a chain: {error}') from error
        return report


def read_chain_report(path: str | os.PathLike) -> ChainReport:
    """Read a ``chain_report.json``.

    Raises:
        CompressionError: There is none, or it is no report of a chain.
    """
    try:
        return ChainReport.from_dict(read_json(path))
    except CompressionError as error:
        raise CompressionError(f'{path}: {error}') from error


def write_chain_report(report: ChainReport, folder: str | os.PathLike) -> None:
    """Write ``chain_report.json`` and ``chain_report.md``."""
    folder = Path(folder)
    write_json(folder / CHAIN_REPORT_JSON, report.to_dict())
    folders = [
        f'- {link.method or link.name}: [{link.folder}]({link.folder})'
        for link in report.links
        if link.folder
    ]
    parts = ['# Chain', markdown_table(*chain_table(report)), in_all(report), '\n'.join(folders)]
    parts = [part for part in parts if part]
    write_text(folder / CHAIN_REPORT_MD, '\n\n'.join(parts) + '\n')


def chain_text(report: ChainReport) -> str:
    """Lay out what is printed when a chain ends."""
    return f'{text_table(*chain_table(report), title="chain")}\n{in_all(report)}'


def chain_table(report: ChainReport) -> tuple[list[str], list[list[str]]]:
    """The detector after each link: headers and rows."""
    metrics = chain_metrics(report.links)
    first = report.links[0].detector if report.links else DetectorFacts()
    rows = []
    for link in report.links:
        facts = link.detector
        rows.append(
            [
                link.name,
                *(format_metric(number(facts.metrics.get(key), None)) for key in metrics),
                format_count(facts.params),
                format_count(facts.macs),
                format_bytes(facts.file_bytes),
                _times(first.file_bytes, facts.file_bytes),
                format_seconds(link.seconds),
            ]
        )
    header = ['after', *metrics, 'parameters', 'MACs', 'bytes', 'factor', 'time']
    return header, rows


def chain_metrics(links: Sequence[LinkFacts]) -> list[str]:
    """The metrics shown: the main one, and that at IoU 0.5 if there is one."""
    known = next((link.detector.metrics for link in links if link.detector.metrics), {})
    try:
        main = main_metric(known)
    except CompressionError:
        return []
    at_half = metric_at_half(known)
    return [main] if at_half in (None, main) else [main, at_half]


def _times(before: float | None, after: float | None) -> str:
    return f'{before / after:.1f}x' if before and after else MISSING


def in_all(report: ChainReport) -> str:
    """What the whole chain comes to, in a sentence; '' where the sizes are not known."""
    if report.factor is None:
        return ''
    sizes = [link.detector.file_bytes for link in report.links]
    return (
        f'In all: {format_bytes(sizes[0])} -> {format_bytes(sizes[-1])}, {report.factor:.1f} '
        'times smaller.'
    )
