"""Start a run, kill it, and see what it has left behind."""

import json
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from processes import Script

from fault_runs.kinds import TOOLS, Kind
from mmdet_lcp.codec import PackedReader
from mmdet_lcp.files import load_torch

PLAN = 'plan.json'
LIMIT = 600.0  # seconds after which a run hangs


@dataclass
class Ended:
    """A process that has ended.

    Attributes:
        code: its exit code; minus the signal that ended it, if one did.
        seconds: from its first sign of life, its log, to its end.
        said: what it wrote to stderr.
        at: the last line of its log.
        worked: seconds from that sign of life until its last result was there; measuring and
            drawing follow.
    """

    code: int
    seconds: float
    said: str
    at: str
    worked: float = 0.0


class Runs:
    """Runs of a kind.

    Args:
        kind: which.
        folder: for everything; holds the data.
    """

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self.config = kind.write(folder)
        self.count = 0

    def out(self, name: str) -> Path:
        """Where a run works."""
        return self.folder / f'{self.config.stem}_{name}'

    def start(
        self, name: str, tool: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Script:
        """Start a run, or go on with it."""
        self.count += 1
        path = tool or TOOLS / self.kind.tool
        env = {'PYTHONPATH': os.environ.get('PYTHONPATH', ''), **(env or {})}
        prints = self.folder / 'prints' / f'{self.config.stem}_{self.count}'
        return Script(path, self.kind.command(self.config, self.out(name)), prints, env)

    def to_the_end(self, name: str, **more: object) -> Ended:
        """Let a run come to its end, behind processes that a killed one has left behind."""
        while True:
            ended = self._watched(self.start(name, **more), name)
            if 'left behind when it was killed' not in ended.said:
                return ended
            time.sleep(1)

    def killed(self, name: str, seconds: float, number: signal.Signals) -> Ended:
        """Send a signal so long after the first sign of life."""

        def at_the_moment(script: Script, began: float) -> None:
            if time.monotonic() - began >= seconds and script.process.is_alive():
                os.kill(script.process.pid, number)
                script.process.join()

        return self._watched(self.start(name), name, at_the_moment)

    def _watched(
        self,
        script: Script,
        name: str,
        look: Callable[[Script, float], None] = lambda script, began: None,
    ) -> Ended:
        """Wait for its end, and look at it now and then once it has begun."""
        before = {path: path.stat().st_size for path in self.logs(name)}
        started, began, worked, there = time.monotonic(), None, 0.0, 0
        while script.process.is_alive():
            if began is None and any(path not in before for path in self.logs(name)):
                began = time.monotonic()
            if began is not None:
                look(script, began)
                if (found := len(self.result_files(name))) > there:
                    there, worked = found, time.monotonic() - began
            if time.monotonic() - started > LIMIT:
                script.process.kill()
                raise AssertionError(f'{self.kind.name} hangs: {script.err[-2000:]}')
            time.sleep(0.01)
        seconds = time.monotonic() - (began or started)
        return Ended(script.wait(), seconds, script.err, self.last_line(name), worked)

    def logs(self, name: str) -> list[Path]:
        """Of every process that has worked on a run."""
        return sorted(self.out(name).rglob('2*/*.log'), key=lambda path: path.stat().st_mtime_ns)

    def last_line(self, name: str) -> str:
        """Where a run is, by its log."""
        logs = self.logs(name)
        lines = logs[-1].read_text().splitlines() if logs else []
        told = [line for line in lines if re.search(r' - (INFO|WARNING) - ', line)]
        return told[-1].split(' - ', 3)[-1] if told else 'before its log'

    def results(self, name: str) -> dict[str, object]:
        """What a run has come to: bytes of plans, tensors of checkpoints, by path."""
        out = self.out(name)
        found: dict[str, object] = {}
        for path in self.result_files(name):
            inside = str(path.relative_to(out))
            if path.name == PLAN:
                found[inside] = path.read_bytes()
                continue
            packed = path.suffix == '.lcp'
            tensors = PackedReader(path).tensors() if packed else _weights(path)
            found.update({f'{inside}:{key}': value for key, value in tensors})
        assert found, f'{out} holds no result'
        return found

    def result_files(self, name: str) -> list[Path]:
        """What a run has come to so far."""
        return [p for pattern in self.kind.results for p in sorted(self.out(name).glob(pattern))]


def same(one: Mapping[str, object], other: Mapping[str, object], plans: bool) -> bool:
    """Whether two runs have come to the same plans, or to the same weights, bit by bit."""
    parts = [
        {key: value for key, value in found.items() if key.endswith(PLAN) == plans}
        for found in (one, other)
    ]
    return parts[0].keys() == parts[1].keys() and all(
        torch.equal(value, parts[1][key])
        if isinstance(value, torch.Tensor)
        else value == parts[1][key]
        for key, value in parts[0].items()
    )


def _weights(path: Path) -> Iterable[tuple[str, torch.Tensor]]:
    return load_torch(path)['state_dict'].items()


def half_written(folder: Path) -> list[str]:
    """Files below a folder that cannot be read, and temporary ones that were left behind."""
    return sorted(str(path.relative_to(folder)) for path in _broken(folder))


def _broken(folder: Path) -> Iterator[Path]:
    for path in folder.rglob('*'):
        if '.tmp' in path.name:
            yield path
        elif path.suffix in ('.json', '.pth') and 'vis_data' not in path.parts:
            try:
                json.loads(path.read_text()) if path.suffix == '.json' else load_torch(path)
            except ValueError:  # CompressionError is one
                yield path


def moments(count: int, seed: int) -> list[tuple[float, signal.Signals]]:
    """So many moments, and the two signals in turn.

    A moment is a share of the time until the last result is there: a few lie behind it.
    """
    rng = random.Random(seed)
    kinds = (signal.SIGKILL, signal.SIGTERM)
    return [(rng.uniform(0.02, 1.1), kinds[number % 2]) for number in range(count)]
