"""How a command ends that something from outside has ended: in a line, with a fitting exit status.

A batch system ends a job with SIGTERM. Here it does what Ctrl-C does, so that locks are given up
and files half-written are removed. Nothing is saved at that moment: what the last complete epoch,
or stage, left is on disk already (`mmdet_lcp.engine.state`), and a kill that nobody can answer
loses no more.
"""

import contextlib
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from mmengine.dist import is_main_process

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import is_full_disk

AGAIN = 'the same command goes on from here'
TERMINATED = 128 + signal.SIGTERM
INTERRUPTED = 128 + signal.SIGINT
_SAME = 5.0  # seconds: launcher and batch system both send a signal, and mean one
_WORKER = re.compile(r'DataLoader worker \(pid(?:\(s\))? [\d, ]+\)[^.\n]*')


class Terminated(KeyboardInterrupt):
    """The process was sent SIGTERM."""


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, in the main thread.

    Raises:
        Terminated: wherever the process is, when the signal comes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last = -_SAME

    def end(*_) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before > _SAME:
            raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_status(work: Callable[[], int], again: str) -> int:
    """What ``work`` returns, or the status of what ended it, which is told on stderr.

    Args:
        work: a command's.
        again: how to go on, for messages.

    Returns:
        Its status; 1 for what a user can mend, 130 for Ctrl-C, 143 for SIGTERM.
    """
    try:
        with terminated_as_interrupted():
            return work()
    except CompressionError as error:
        return _told(f'error: {_without_traceback(str(error))}', 1)
    except Terminated:
        return _told(f'\nstopped by SIGTERM; {again}', TERMINATED)
    except KeyboardInterrupt:
        return _told(f'\ninterrupted; {again}', INTERRUPTED)
    except (OSError, RuntimeError) as error:
        text = _of_the_machine(error)
        if text is None:
            raise
        return _told(f'error: {text}; {again}', 1)


def _told(text: str, status: int) -> int:
    if is_main_process() or status == 1:
        print(text, file=sys.stderr)
    return status


def _of_the_machine(error: OSError | RuntimeError) -> str | None:
    """What is wrong with the machine, if that is what an error says."""
    if is_full_disk(error):
        name = getattr(error, 'filename', None)
        where = f' to {name}' if name else ''
        return f'nothing more can be written{where}: the disk is full ({error}). Make room'
    found = _WORKER.search(str(error))
    if found:
        return (
            f'a process that loads data has died ({found[0].strip()}), most often for want of '
            'memory: lower `num_workers`, or `batch_size`, of the data loaders'
        )
    return None


def _without_traceback(text: str) -> str:
    """The message alone, where a data worker's error comes with that worker's traceback."""
    if not text.startswith('Caught '):
        return text
    return text.rpartition(f'{CompressionError.__name__}: ')[2].strip()
