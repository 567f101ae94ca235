"""The rows of the support table: a trial each in a process of its own, kept as a file.

A detector that crashes its process, or needs more time than it may, costs its own row alone.
"""

import contextlib
import functools
import hashlib
import json
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import mmcv
import mmdet
import torch

from mmdet_lcp.coverage.criteria import CriterionFacts
from mmdet_lcp.coverage.detectors import DETECTORS, SupportedDetector
from mmdet_lcp.coverage.facts import TrialFacts
from mmdet_lcp.coverage.trial import Trial
from mmdet_lcp.coverage.zoo import ZOO
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json

# 120 seconds of both cores of a machine with two that does nothing else. Processor time is
# measured: how long a row takes by the clock depends on what else the machine does.
LIMIT = 240  # seconds of processor time
CRITERION_LIMIT = 900  # more for each criterion that is tried
WAITS = 20  # a process that waits takes no processor time: so many times as long by the clock
POLL = 0.05  # seconds


@dataclass(frozen=True)
class Row:
    """A row that is to be made.

    Attributes:
        detector: which one is tried out.
        criteria: names of `TRIED` that are tried with it.
        path: of the JSON file, which is also written during the trial. Beside it, ``*.log`` has
            what was printed, with tracebacks.
    """

    detector: SupportedDetector
    criteria: tuple[str, ...]
    path: Path

    @property
    def limit(self) -> float:
        """Seconds of processor time that it may take."""
        return LIMIT + CRITERION_LIMIT * len(self.criteria)

    def is_done(self) -> bool:
        """Whether the file says what a trial would say now: code and packages are the same.

        Raises:
            CompressionError: the file is damaged.
        """
        if not self.path.exists():
            return False
        row = read_row(self.path)
        done = row.made_with == versions() and not row.running
        return done and set(self.criteria) <= set(row.criteria)


def make_rows(
    rows: Sequence[Row],
    jobs: int = 1,
    tell: Callable[[Row, str], None] = lambda row, line: None,
    made: Callable[[Row, TrialFacts], None] = lambda row, facts: None,
) -> None:
    """Make rows, each in a process of its own with one thread.

    Args:
        rows: which ones.
        jobs: how many at a time.
        tell: called with each step of each row.
        made: called with each row that is finished.
    """
    left, running = list(rows), []
    try:
        while left or running:
            while left and len(running) < jobs:
                running.append(_RowProcess(left.pop(0)))
            for process in list(running):
                for line in process.lines(POLL / len(running)):
                    tell(process.row, line)
                if process.has_ended():
                    running.remove(process)
                    made(process.row, process.facts())
    finally:
        for process in running:
            process.end()


class _RowProcess:
    """The process of a row."""

    def __init__(self, row: Row) -> None:
        self.row = row
        row.path.parent.mkdir(parents=True, exist_ok=True)
        row.path.unlink(missing_ok=True)
        # A fork has imported all already; where there is none, the process begins anew.
        ways = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context('fork' if 'fork' in ways else 'spawn')
        self.told, tells = context.Pipe(duplex=False)
        self.process = context.Process(target=_try, args=(row, tells), daemon=True)
        self.began = time.monotonic()
        self.hung = False
        self.process.start()
        tells.close()

    def lines(self, seconds: float) -> list[str]:
        """What it has told since; waits so long for it."""
        found = []
        try:
            while self.told.poll(seconds if not found else 0):
                found.append(self.told.recv())
        except EOFError:  # it has ended
            self.process.join(seconds)
        return found

    def has_ended(self) -> bool:
        """Whether it has; one that hangs is ended."""
        if self.process.is_alive():
            self.hung = time.monotonic() - self.began > self.row.limit * WAITS
            if not self.hung:
                return False
        self.end()
        return True

    def end(self) -> None:
        """Stop it wherever it is."""
        self.process.kill()
        self.process.join()
        self.told.close()

    def facts(self) -> TrialFacts:
        """What became of the row, written down."""
        detector, path = self.row.detector, self.row.path
        if path.exists():
            facts = read_row(path)
        else:
            facts = TrialFacts(detector.name, detector.config, detector.size, running='traced')
        if facts.running:
            facts.failures[facts.running] = self._stopped()
            facts.running = ''
        facts.made_with = versions()
        write_json(path, facts)
        return facts

    def _stopped(self) -> str:
        """Why the process came to its end before the trial did."""
        if self.hung:
            return f'it hangs: after {self.row.limit * WAITS:.0f} s it had not come to its end'
        code = self.process.exitcode or 0
        if code == -getattr(signal, 'SIGXCPU', 1 << 30):
            return f'it takes more than {self.row.limit:.0f} s of processor time'
        if code < 0:
            name = signal.Signals(-code).name
            return f'it crashes: {name}' + (', for want of memory?' if name == 'SIGKILL' else '')
        return f'its process ended with status {code}'


def _try(row: Row, tells: Connection) -> None:
    """Run the trial; in the process of a row."""
    sys.stdout.flush()
    with (
        row.path.with_suffix('.log').open('w', buffering=1, encoding='utf-8') as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        for stream in (1, 2):  # of what is not written in Python
            os.dup2(log.fileno(), stream)
        torch.set_num_threads(1)
        _limit(row.limit)
        Trial(row.detector, row.criteria, tells.send, lambda f: write_json(row.path, f)).run()


def _limit(seconds: float) -> None:
    """End this process when it has taken so much processor time."""
    try:
        import resource
    except ImportError:  # on Windows the clock alone limits it
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 5))


def read_row(path: Path) -> TrialFacts:
    """What has been written down of a detector.

    Raises:
        CompressionError: the file is damaged.
    """
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
        data['criteria'] = {k: CriterionFacts(**v) for k, v in data['criteria'].items()}
        return TrialFacts(**data)
    except (ValueError, TypeError, KeyError) as error:
        raise CompressionError(f'{path} is damaged: {error}. Delete it.') from error


def read_rows(folder: Path) -> list[TrialFacts]:
    """The finished rows of a folder: the zoo's first, in its order, last what is not known here.

    Raises:
        CompressionError: a file is damaged.
    """
    order = [detector.key for detector in (*ZOO.values(), *DETECTORS)]
    paths = {path.stem: path for path in sorted(folder.glob('*.json'))}
    names = [name for name in dict.fromkeys([*order, *paths]) if name in paths]
    found = [read_row(paths[name]) for name in names]
    return [facts for facts in found if not facts.running]


@functools.cache
def versions() -> dict[str, str]:
    """What a row depends on: the package's own code as a digest, and mmdet's version and others'.

    The command line's code is left out of the digest.
    """
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(root.rglob('*.py')):
        if file.relative_to(root).parts[0] not in ('cli', '.mim'):
            digest.update(str(file.relative_to(root)).encode())
            digest.update(file.read_bytes())
    return dict(
        mmdet_lcp=digest.hexdigest()[:16],
        mmdet=mmdet.__version__,
        mmcv=mmcv.__version__,
        torch=torch.__version__.partition('+')[0],
    )
