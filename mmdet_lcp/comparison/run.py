"""Run what a plan lays out, and write the tables after each cell."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mmdet_lcp.comparison.cell_pace import CellPace
from mmdet_lcp.comparison.cells import Cell
from mmdet_lcp.comparison.folder import check_folder, describe, locked
from mmdet_lcp.comparison.jobs import Job, Start, run_jobs, start_process
from mmdet_lcp.comparison.plan import ComparisonPlan
from mmdet_lcp.comparison.results.comparison import (
    FAILED,
    FINISHED,
    LOG,
    RUN,
    CellResult,
    Comparison,
    read_comparison,
)
from mmdet_lcp.comparison.results.page import write_comparison_page
from mmdet_lcp.comparison.results.pictures import draw_comparison
from mmdet_lcp.comparison.results.removal_amount import amount_name
from mmdet_lcp.comparison.results.tables import write_tables
from mmdet_lcp.config.text import config_text
from mmdet_lcp.config.top_level import KEEP_DETECTIONS
from mmdet_lcp.engine.lock import alone_in
from mmdet_lcp.files import write_text
from mmdet_lcp.report.tables import format_metric, format_seconds

_CONFIG = 'cell.py'
_THREADS = 'OMP_NUM_THREADS'
_LAST_LINES = 12


def run_comparison(
    plan: ComparisonPlan,
    out: Path,
    train: Path,
    jobs: int = 1,
    command: str = '',
    start: Start = start_process,
    tell: Callable[[str], None] = print,
) -> bool:
    """Run the cells that have not ended, and write tables and pictures.

    Args:
        plan: what to run.
        out: the comparison's folder.
        train: path of ``tools/train.py``.
        jobs: cells at a time, >= 1.
        command: the command line that repeats it, for the table.
        start: starts a process.
        tell: takes lines for the user.

    Returns:
        Whether all cells have ended well.

    Raises:
        CompressionError: the folder holds something else.
        KeyboardInterrupt: it was interrupted; everything can be resumed.
    """
    out = Path(out)
    with locked(out), alone_in(out):
        check_folder(plan, out)
        describe(plan, out, command)
        return _Run(plan, out, train, jobs, start, tell).run()


class _Run:
    """One call of `run_comparison`."""

    def __init__(
        self,
        plan: ComparisonPlan,
        out: Path,
        train: Path,
        jobs: int,
        start: Start,
        tell: Callable[[str], None],
    ) -> None:
        self.plan, self.out, self.train = plan, out, train
        self.jobs, self.start, self.tell = jobs, start, tell
        self.pace = CellPace(jobs)
        self.total = sum(cell.same_as is None for cell in plan.cells)
        self.left = [cell for cell in plan.cells if not cell.is_finished(out)]
        self.begun = {cell.name for cell in self.left if cell.has_begun(out)}
        self.failed: list[Cell] = []

    def run(self) -> bool:
        """Run what is left; whether all went well."""
        for note in self.plan.notes:
            self.tell(note)
        if len(self.left) < self.total:
            self.tell(f'{self.total - len(self.left)} of {self.total} runs have ended before')
        cells = {cell.name: cell for cell in self.left}
        self._write()
        try:
            run_jobs(
                [self._job(cell) for cell in self.left],
                self.jobs,
                self.start,
                lambda job, status, seconds: self._done(cells[job.name], status, seconds),
            )
        finally:
            self._draw()
        for line in self._write().disagreements():
            self.tell(f'warning: {line}')
        for cell in self.failed:
            folder = cell.folder(self.out)
            self.tell(f'\n{cell.name} failed; the end of {folder / LOG}:')
            self.tell((folder / FAILED).read_text(encoding='utf-8').rstrip())
        return not self.failed

    def _draw(self) -> None:
        comparison = read_comparison(self.out)
        draw_comparison(comparison, self.out)
        write_comparison_page(comparison, self.out)

    def _job(self, cell: Cell) -> Job:
        folder = cell.folder(self.out)
        (folder / FAILED).unlink(missing_ok=True)
        cfg = {**cell.cfg, KEEP_DETECTIONS: True}
        write_text(folder / _CONFIG, config_text(cfg))
        command = [sys.executable, str(self.train), str(folder / _CONFIG)]
        command += ['--work-dir', str(folder / RUN), '--resume']
        threads = os.environ.get(_THREADS) or str(max(1, _cores() // self.jobs))
        return Job(cell.name, command, folder / LOG, {_THREADS: threads})

    def _done(self, cell: Cell, status: int, seconds: float) -> None:
        self.left.remove(cell)
        folder = cell.folder(self.out)
        if status or not cell.is_finished(self.out):
            self.failed.append(cell)
            write_text(folder / FAILED, _last_lines(folder / LOG, status))
        elif cell.name not in self.begun:
            self.pace.note(cell, seconds)
        comparison = self._write()
        progress = f'{self.total - len(self.left)}/{self.total}'
        eta = self.pace.seconds_left(self.left)
        if self.left and eta is not None:
            ends = time.strftime('%H:%M', time.localtime(time.time() + eta))
            progress += f', about {format_seconds(eta)} left, until {ends}'
        name = f'{cell.method} {amount_name(cell.ratio)} seed {cell.seed}'
        self.tell(f'[{progress}] {name}: {self._outcome(cell, comparison)}')

    def _outcome(self, cell: Cell, comparison: Comparison) -> str:
        if cell in self.failed:
            return f'failed, see {cell.folder(self.out) / LOG}'
        result = next(c for c in comparison.of(cell.method, cell.ratio) if c.seed == cell.seed)
        assert result.state == FINISHED
        return outcome(result, comparison.metric_keys())

    def _write(self) -> Comparison:
        comparison = read_comparison(self.out)
        write_tables(comparison, self.out)
        return comparison


def outcome(result: CellResult, keys: list[str]) -> str:
    """A finished cell in words.

    Args:
        result: the cell.
        keys: metrics, the one to tell first.
    """
    if not keys:
        return f'done in {format_seconds(result.seconds)}'
    key = keys[0]
    before = format_metric(result.selected.get(key))
    text = f'{key.rpartition("/")[2]} {format_metric(result.final.get(key))}'
    text += f' ({before} before retraining)' if result.selected else ''
    return f'{text}, {format_seconds(result.seconds)}'


def _last_lines(log: Path, status: int) -> str:
    lines = log.read_text(encoding='utf-8', errors='replace').splitlines() if log.exists() else []
    return '\n'.join([*lines[-_LAST_LINES:], f'(exit status {status})']) + '\n'


def _cores() -> int:
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
