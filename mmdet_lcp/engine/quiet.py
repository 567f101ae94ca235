"""Evaluation without tables: a run that measures after every step would print little else."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from typing import Any, TextIO

# How lines begin that pycocotools prints with every evaluation, whoever asked.
_OF_COCO = (
    'loading annotations into memory',
    'Loading and preparing results',
    'Done (t=',
    'DONE (t=',
    'creating index',
    'index created!',
    'Running per image evaluation',
    'Evaluate annotation type',
    'Accumulating evaluation results',
    ' Average Precision',
    ' Average Recall',
)
# What mmdet logs with it: announcements, numbers for a spreadsheet, tables class by class.
_OF_MMDET = ('Evaluating ', 'copypaste', 'iou_thr: ', '\n+-')


def evaluated_on(runner: Any, loop_name: str, table: bool = False) -> dict[str, float]:
    """Metrics of a runner's present model on the ``'val'`` or the ``'test'`` set.

    Args:
        runner: its ``model`` is measured.
        loop_name: which set.
        table: show what the evaluator prints besides.
    """
    loop = runner.test_loop if loop_name == 'test' else runner.val_loop
    with contextlib.nullcontext() if table else without_tables(runner.logger):
        return {key: float(value) for key, value in loop.run().items()}


@contextlib.contextmanager
def without_tables(logger: logging.Logger) -> Iterator[None]:
    """Leave out what evaluators print and log besides their result; all else passes.

    Args:
        logger: the run's.
    """
    handlers = list(logger.handlers)
    for handler in handlers:
        handler.addFilter(_no_table)
    try:
        with contextlib.redirect_stdout(_Quieter(sys.stdout)):
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(_no_table)


def _no_table(record: logging.LogRecord) -> bool:
    if record.levelno > logging.INFO:
        return True
    text = record.getMessage()
    return not any(words in text for words in _OF_MMDET)


class _Quieter(io.TextIOBase):
    """Writes on what is not pycocotools'.

    Args:
        stream: where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._dropped = False  # whether the end of the line is dropped, too

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Write all lines but those of pycocotools."""
        for line in text.splitlines(keepends=True):
            dropped = line.startswith(_OF_COCO) or (self._dropped and line == '\n')
            self._dropped = dropped and not line.endswith('\n')
            if not dropped:
                self._stream.write(line)
        return len(text)

    def flush(self) -> None:
        """Flush what it writes to."""
        self._stream.flush()
