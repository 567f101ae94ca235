"""The rows of the support table: a trial each in a process of its own, kept as a file.

A detector that crashes its process, or needs more time than it may, costs its own row alone.
"""

import functools
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import mmcv
import mmdet
import torch

from mmdet_lcp.coverage.criteria import CriterionFacts
from mmdet_lcp.coverage.detectors import SupportedDetector
from mmdet_lcp.coverage.trial import Trial, TrialFacts
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json

# 120 seconds of both cores of a machine with two that does nothing else. Processor time is
# measured: how long a row takes by the clock depends on what else the machine does.
LIMIT = 240  # seconds of processor time
CRITERION_LIMIT = 900  # more for each criterion that is tried
WAITS = 20  # a process that waits for something takes no processor time; as often as long by clock
POLL = 0.2  # seconds


def run_row(
    detector: SupportedDetector, criteria: Sequence[str], path: Path, limit: float | None = None
) -> TrialFacts:
    """Try a detector out in another process, and write down what became of it.

    Beside ``path``, ``*.log`` has what was printed, with tracebacks.

    Args:
        detector: which one.
        criteria: names of `TRIED` that are tried.
        path: of the JSON file; it is also written during the trial.
        limit: processor time in seconds; by default `LIMIT`, and `CRITERION_LIMIT` a criterion.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    seconds = limit or LIMIT + CRITERION_LIMIT * len(criteria)
    # A fork has imported all already; where there is none, the process begins anew.
    ways = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context('fork' if 'fork' in ways else 'spawn')
    arguments = (detector, list(criteria), path, seconds)
    process = context.Process(target=_try, args=arguments, daemon=True)
    began = time.monotonic()
    process.start()
    try:
        while process.is_alive() and time.monotonic() - began < seconds * WAITS:
            process.join(POLL)
    finally:
        ended = not process.is_alive()
        process.kill()
        process.join()
    facts = read_row(path) if path.exists() else TrialFacts(*_named(detector), running='begun')
    if facts.running:
        facts.failures[facts.running] = _stopped(process, ended, seconds)
        facts.running = ''
    facts.made_with = versions()
    write_json(path, facts)
    return facts


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


def is_done(path: Path, criteria: Sequence[str]) -> bool:
    """Whether a row says what a trial would say now: its code and packages are the same.

    Args:
        path: of the row's file, which may be missing.
        criteria: names of those that the trial would try.

    Raises:
        CompressionError: the file is damaged.
    """
    if not path.exists():
        return False
    row = read_row(path)
    return row.made_with == versions() and not row.running and set(criteria) <= set(row.criteria)


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


def _try(detector: SupportedDetector, criteria: list[str], path: Path, seconds: float) -> None:
    """Run the trial; in the process of a row."""
    log = path.with_suffix('.log').open('w', encoding='utf-8')
    sys.stdout.flush()
    for stream in (1, 2):
        os.dup2(log.fileno(), stream)
    _limit(seconds)
    Trial(detector, criteria, lambda line: print(line, flush=True), _keeper(path)).run()


def _keeper(path: Path):
    return lambda facts: write_json(path, facts)


def _limit(seconds: float) -> None:
    """End this process when it has taken so much processor time."""
    try:
        import resource
    except ImportError:  # on Windows only the clock limits it
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, int(used + seconds) + 5))


def _stopped(process: BaseProcess, ended: bool, seconds: float) -> str:
    """Why a process came to its end before the trial did."""
    code = process.exitcode
    if ended and code == -getattr(signal, 'SIGXCPU', 0):
        return f'it took more than {seconds:.0f} s of processor time'
    if not ended:
        return f'it hung: after {seconds * WAITS:.0f} s it had not come to its end'
    if code is not None and code < 0:
        more = ', most often for want of memory' if code == -signal.SIGKILL else ''
        return f'it crashed: {signal.Signals(-code).name}{more}'
    return f'its process ended with status {code}'


def _named(detector: SupportedDetector) -> tuple[str, str, int]:
    return detector.name, detector.config, detector.size
