"""One line in a terminal that says how far a staged run is, below a log that stays as it is.

It goes to stderr, and only where that is a terminal. Before anything is logged there it vanishes,
and comes back with the next iteration.
"""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from mmdet_lcp.report.tables import format_seconds

_PAUSE = 0.2  # seconds between two drawings


class ProgressLine:
    """The line.

    Args:
        console: the terminal; ``None`` where there is none, and nothing is shown.
    """

    def __init__(self, console: Console | None) -> None:
        self._shown: Progress | None = None
        self._console = console
        self._last = 0.0

    @property
    def visible(self) -> bool:
        """Whether there is a terminal to show it."""
        return self._console is not None

    def show(self, words: str, elapsed: float, left: float | None, pause: float = _PAUSE) -> None:
        """Draw the line, unless it was drawn just now.

        Args:
            words: what is under way.
            elapsed: seconds of the run so far.
            left: seconds that it will still take, ``None`` if that is not known.
            pause: seconds since the last time below which nothing is drawn.
        """
        now = time.monotonic()
        if self._console is None or now - self._last < pause:
            return
        self._last = now
        if self._shown is None:
            self._shown = _progress(self._console)
            self._shown.add_task(words, total=None, left='')
            self._shown.start()
        (task,) = self._shown.task_ids
        known = left is not None
        self._shown.update(
            task,
            description=words,
            total=elapsed + left if known else None,
            completed=elapsed,
            left=f'about {format_seconds(left)} left' if known else '',
            refresh=True,
        )

    def hide(self) -> None:
        """Take the line away, until it is drawn again."""
        if self._shown is not None:
            self._shown.stop()
            self._shown, self._last = None, 0.0


@contextlib.contextmanager
def progress_line(runner: Any, console: Console | None = None) -> Iterator[ProgressLine]:
    """Show how far a staged run is, while it trains and between its trainings.

    Args:
        runner: a `StagedRunner`.
        console: where to; stderr unless given, if it is a terminal.
    """
    if console is None and is_main_process() and sys.stderr.isatty():
        console = Console(stderr=True)
    line = ProgressLine(console)
    if console is None:
        yield line
        return
    runner.register_hook(_ShowsProgress(line), priority='LOWEST')
    handlers = [
        handler
        for handler in runner.logger.handlers
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
    ]

    def hide(record: logging.LogRecord) -> bool:
        line.hide()
        return True

    for handler in handlers:
        handler.addFilter(hide)
    try:
        yield line
    finally:
        line.hide()
        for handler in handlers:
            handler.removeFilter(hide)


class _ShowsProgress(Hook):
    """Draws the line with each iteration, and takes it away where evaluators print.

    Args:
        line: it.
    """

    def __init__(self, line: ProgressLine) -> None:
        self._line = line

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Count the iteration, and draw."""
        runner.pace.count()
        runner.show_progress(self._line, done=runner.iter + 1)

    def before_val(self, runner: Any) -> None:
        """Make room for what is printed."""
        self._line.hide()

    before_test = before_val


def _progress(console: Console) -> Progress:
    """Words, a bar, and the time that is left, in one line."""
    return Progress(
        TextColumn(
            '{task.description}',
            markup=False,
            table_column=Column(no_wrap=True, overflow='ellipsis', ratio=3),
        ),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
        TextColumn('{task.fields[left]}', markup=False, table_column=Column(no_wrap=True)),
        console=console,
        auto_refresh=False,
        transient=True,
        expand=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
