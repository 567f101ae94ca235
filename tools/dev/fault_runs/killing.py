"""Runs that are killed at random moments, resumed, and compared with one that nobody disturbs."""

import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fault_runs.kinds import Kind
from fault_runs.processes_of import PLAN, Runs, half_written, same

TRIES = 4  # to meet a run before it has ended: the machine may be faster than it was


@dataclass
class Kill:
    """One run that was killed.

    Attributes:
        kind: of run.
        at: seconds after its log began, and ...
        seconds: ... when the run that nobody disturbed had its last result.
        line: the last line of its log.
        signal: that ended it.
        code: its exit code.
        half_written: files that cannot be read, behind the kill and behind the resumed run.
        plan: whether it came to the same plan when it was resumed; None where there is none.
        weights: whether it came to the same weights.
        resumed: exit code of the process that went on.
    """

    kind: str
    at: float
    seconds: float
    line: str
    signal: str
    code: int
    half_written: list[str]
    plan: bool | None
    weights: bool
    resumed: int


def kill_at(
    kind: Kind,
    folder: Path,
    when: Sequence[tuple[float, signal.Signals]],
    tell: Callable[[str], None],
) -> list[Kill]:
    """Run a kind once undisturbed, and once for each moment.

    Args:
        kind: of run.
        folder: holds the data.
        when: shares of the time that the run works, and signals.
        tell: takes a line for each.
    """
    runs = Runs(kind, folder)
    whole = runs.to_the_end('whole')
    assert whole.code == 0, whole.said
    expected = runs.results('whole')
    tell(f'{kind.name}: {whole.seconds:.1f} s undisturbed, {whole.worked:.1f} to its last result')
    found = []
    for number, (share, sent) in enumerate(when):
        found.append(_kill(runs, str(number), share * whole.worked, sent, whole.worked, expected))
        tell(f'  {found[-1]}')
    return found


def _kill(
    runs: Runs,
    name: str,
    at: float,
    sent: signal.Signals,
    seconds: float,
    expected: dict[str, object],
) -> Kill:
    for _ in range(TRIES):
        ended = runs.killed(name, at, sent)
        if ended.code:
            break
        shutil.rmtree(runs.out(name))
        at /= 2
    left = [path for path in half_written(runs.out(name)) if '.tmp' not in path]
    resumed = runs.to_the_end(name)
    found = runs.results(name) if resumed.code == 0 else {}
    plans = any(key.endswith(PLAN) for key in expected)
    kill = Kill(
        runs.kind.name,
        at,
        seconds,
        ended.at,
        sent.name,
        ended.code,
        [*left, *half_written(runs.out(name))],
        same(expected, found, plans=True) if plans else None,
        same(expected, found, plans=False),
        resumed.code,
    )
    shutil.rmtree(runs.out(name))
    return kill
