"""The page of a run, ``report.html``: one file that shows all that is known of it.

What it shows is one data class, made of the report and of what lies in the work_dir, so that a
page can be made again at any time, of a run that is under way or was stopped too.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json
from mmdet_lcp.measure.metrics import main_metric, number
from mmdet_lcp.report import run_tables
from mmdet_lcp.report.facts import DetectorFacts
from mmdet_lcp.report.html import data_uri, write_page
from mmdet_lcp.report.loss_picture import loss_figure
from mmdet_lcp.report.network_picture import network_figure
from mmdet_lcp.report.report import REPORT_HTML, REPORT_JSON, SO_FAR_JSON, Report, read_report
from mmdet_lcp.report.share_picture import share_figure
from mmdet_lcp.report.steps_picture import steps_figure
from mmdet_lcp.report.stored_pictures import FOLDER, StoredPicture, read_pictures
from mmdet_lcp.report.svg import svg_of
from mmdet_lcp.report.tables import (
    MISSING,
    format_bytes,
    format_change,
    format_count,
    format_difference,
    format_metric,
    format_ms,
    metric_name,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table = tuple[list[str], list[list[Any]]]

_WIDE, _NARROW = 10.0, 4.4  # inches of a chart on a screen and on a phone
_MOST_BYTES = 1_900_000  # of all pictures: as text they are a third larger
# Config and weights that runs hand out.
_HANDED_OUT = (
    ('compressed_config.py', 'compressed.pth'),
    ('pruned_config.py', 'pruned.pth'),
    ('student_config.py', 'student.pth'),
)
_FILES = {
    'pruned.pth': 'weights of the pruned detector',
    'pruned_config.py': 'its config',
    'plan.json': 'which channels stay',
    'compressed.lcp': 'packed detector: config and weights in one file',
    'compressed.pth': 'the same weights, as a plain checkpoint',
    'compressed_config.py': 'its config',
    'student.pth': 'weights of the student, a plain detector',
    'student_config.py': 'its config',
}
_TEST = """python "$(python -c 'import mmdet; print(mmdet.__path__[0])')/.mim/tools/test.py\""""


@dataclass(frozen=True)
class Card:
    """A figure in large letters.

    Attributes:
        name: What it is.
        now: After the run.
        was: Before it.
        change: In words.
        better: Whether it is a change for the better; None where that is neither.
    """

    name: str
    now: str
    was: str
    change: str = ''
    better: bool | None = None


@dataclass(frozen=True)
class Chart:
    """A figure as text, for screens and for phones; one for both where `narrow` is ''."""

    wide: Markup
    narrow: Markup | str = ''


@dataclass(frozen=True)
class ShownImage:
    """Three pictures of one image, as addresses that hold them; see `StoredPicture`."""

    truth: str
    dense: str
    compressed: str
    boxes: list[int]
    remark: str


@dataclass
class RunPage:
    """What the page of a run shows.

    Attributes:
        report: What is known.
        name: Of the folder.
        state: '' of a run that has ended, else how far it is, in words.
        cards: The main figures.
        steps: The metric along the way, ...
        network: ... what is left of each layer, and ...
        shares: ... what the scores come from, and ...
        losses: ... the terms of the loss; None where nothing is known of it.
        images: Detections on images that stand for the test set.
        worst: Those on images on which compression has cost most.
        score_thr: Detections that score less are not drawn.
        files: What was handed out: name, what it is, bytes.
        commands: What to do next: words and a command line.
    """

    report: Report
    name: str
    state: str = ''
    cards: list[Card] = field(default_factory=list)
    steps: Chart | None = None
    network: Chart | None = None
    shares: Chart | None = None
    losses: Chart | None = None
    images: list[ShownImage] = field(default_factory=list)
    worst: list[ShownImage] = field(default_factory=list)
    score_thr: float | None = None
    files: list[tuple[str, str, int]] = field(default_factory=list)
    commands: list[tuple[str, str]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The method, and what it was done to."""
        return f'{self.report.method}: {self.name}'

    @property
    def summary(self) -> Table:
        """Every metric and cost before and after; before only while the run has not ended."""
        headers, rows = run_tables.summary_table(self.report)
        if not self.state:
            return headers, rows
        return headers[:2], [row[:2] for row in rows]

    @property
    def layers(self) -> Table:
        """What each layer costs, in the order of execution."""
        rows = []
        for facts in self.report.layers:
            row: list[Any] = [facts.name]
            for pair, show in (
                (facts.channels, str),
                (facts.params, format_count),
                (facts.macs, format_count),
                (facts.ms, lambda ms: f'{ms:.2f}'),
            ):
                row.append(' → '.join(dict.fromkeys(map(show, pair))))
            rows.append([*row, format_change(*facts.macs)])
        return ['layer', 'channels', 'parameters', 'MACs', 'ms', 'MACs, change'], rows


def write_run_page(work_dir: str | os.PathLike) -> Path:
    """Write ``report.html`` into a run's work_dir.

    Raises:
        CompressionError: there is no run, or a file of it is damaged.
    """
    folder = Path(work_dir)
    page = run_page(folder)
    path = folder / REPORT_HTML
    write_page(
        path,
        'run.html',
        page=page,
        title=page.title,
        tables=run_tables,
        bytes=format_bytes,
        version=page.report.versions.get('mmdet_lcp'),
    )
    return path


def run_page(work_dir: str | os.PathLike) -> RunPage:
    """Gather what a page shows.

    Args:
        work_dir: Of a run that has ended, is under way, or was stopped.

    Raises:
        CompressionError: there is no run, or a file of it is damaged.
    """
    folder = Path(work_dir)
    report, state = _known(folder)
    stored = read_pictures(folder)
    shown = _within(folder, stored)
    return RunPage(
        report,
        folder.resolve().name,
        state,
        [] if state else _cards(report),
        chart_of(lambda width: steps_figure(report, (width, 3.4)), 'The metric after each step'),
        chart_of(lambda width: network_figure(report, width), 'What is left of each layer'),
        chart_of(lambda width: share_figure(report, (width, 3.4)), 'Shares of the loss terms'),
        chart_of(lambda width: loss_figure(report, (width, 3.4)), 'The loss along the training'),
        [_shown(folder, one) for one in shown if not one.remark],
        [_shown(folder, one) for one in shown if one.remark],
        stored[0].score_thr if stored else None,
        _files(folder),
        _commands(folder, report),
    )


def is_run(work_dir: Path) -> bool:
    """Whether a folder holds a run that this page can be made of."""
    return (work_dir / REPORT_JSON).exists() or any(work_dir.glob('*_state/run.json'))


def _known(folder: Path) -> tuple[Report, str]:
    """The report, and how far the run is."""
    so_far = next(iter(sorted(folder.glob(f'*_state/{SO_FAR_JSON}'))), None)
    if so_far is not None:
        report = read_report(so_far)
        return report, (
            f'This run has not ended: {report.stages_done} of {report.stages} '
            f'{report.stage}s are done. '
            'It is under way or was stopped half-way. The page shows what there is.'
        )
    if (folder / REPORT_JSON).exists():
        return read_report(folder / REPORT_JSON), ''
    begun = next(iter(sorted(folder.glob('*_state/run.json'))), None)
    if begun is None:
        raise CompressionError(
            f'{folder} holds no run: neither {REPORT_JSON}, which a run writes when it ends, nor '
            'the state of one that has begun, which is there once a target has been shared out '
            'over the groups. Name the work_dir of a run, a chain or a comparison.'
        )
    seed = read_json(begun).get('seed')
    report = Report('run', seed, '', 0.0, DetectorFacts(), DetectorFacts())
    return report, 'This run has begun, and has measured nothing yet.'


def _cards(report: Report) -> list[Card]:
    dense, now = report.dense, report.compressed
    cards = []
    try:
        key = main_metric(now.metrics)
    except CompressionError:
        key = None
    if key is not None:
        values = [number(facts.metrics.get(key), None) for facts in (dense, now)]
        better = None if None in values else values[1] >= values[0]
        change = format_difference(*values).replace(MISSING, '')
        cards.append(Card(metric_name(key), *map(format_metric, reversed(values)), change, better))
    for name, attribute, show in (
        ('multiply-accumulates', 'macs', format_count),
        ('parameters', 'params', format_count),
        ('latency', 'latency_ms', format_ms),
        ('file size', 'file_bytes', format_bytes),
    ):
        before, after = getattr(dense, attribute), getattr(now, attribute)
        if after is None:
            continue
        better = None if before is None or before == after else after < before
        change = format_change(before, after).replace(MISSING, '')
        cards.append(Card(name, show(after), show(before), change, better))
    return cards


def chart_of(draw: Callable[[float], Figure | None], words: str) -> Chart | None:
    """A figure in two widths."""
    wide = draw(_WIDE)
    if wide is None:
        return None
    return Chart(svg_of(wide, words), svg_of(draw(_NARROW), f'{words}, narrow'))


def _within(folder: Path, stored: Sequence[StoredPicture]) -> list[StoredPicture]:
    """As many images as a page takes, of both kinds in turn."""
    plain = [one for one in stored if not one.remark]
    worst = [one for one in stored if one.remark]
    size, shown = 0, []
    for number_ in range(len(stored)):
        for one in (*plain[number_ : number_ + 1], *worst[number_ : number_ + 1]):
            size += sum(
                (folder / FOLDER / name).stat().st_size
                for name in (one.truth, one.dense, one.compressed)
            )
            if size <= _MOST_BYTES:
                shown.append(one)
    return shown


def _shown(folder: Path, one: StoredPicture) -> ShownImage:
    uris = [data_uri(folder / FOLDER / name) for name in (one.truth, one.dense, one.compressed)]
    return ShownImage(*uris, one.boxes, one.remark)


def _files(folder: Path) -> list[tuple[str, str, int]]:
    found = [(name, what, folder / name) for name, what in _FILES.items()]
    files = [(name, what, path.stat().st_size) for name, what, path in found if path.is_file()]
    for state in sorted(folder.glob('*_state')):
        size = sum(path.stat().st_size for path in state.rglob('*') if path.is_file())
        files.append(
            (f'{state.name}/', 'what --resume needs; not needed when a run has ended', size)
        )
    return files


def _commands(folder: Path, report: Report) -> list[tuple[str, str]]:
    """To repeat the run, and to test and deploy what it has handed out."""
    commands = []
    if report.command:
        commands.append(('Repeat it', report.command))
        if report.stages is not None:
            commands.append(('Go on with it', f'{report.command} --resume'))
    for config, weights in _HANDED_OUT:
        if not ((folder / config).is_file() and (folder / weights).is_file()):
            continue
        files = shlex.join([str(folder / config), str(folder / weights)])
        commands += [
            ("Test it with mmdet's own tool", f'{_TEST} {files}'),
            (
                'Deploy it: one file from photo to boxes, in float and in eight bits',
                f'mmdet-lcp export {files} --out small.onnx --int8',
            ),
            (
                'Find objects with that file',
                'mmdet-lcp detect small.onnx photo.jpg --out seen.jpg',
            ),
        ]
        break
    return commands
