"""Commands in processes of their own, so many at a time; none outlives this one."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mmdet_lcp.engine.endings import terminated_as_interrupted

_PATIENCE = 10.0  # seconds between asking a child to end and ending it


class Child(Protocol):
    """A process that runs; `subprocess.Popen` is one."""

    def poll(self) -> int | None:
        """The exit status, or ``None`` while it runs."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""


Start = Callable[[Sequence[str], Path, Mapping[str, str]], Child]
"""Starts a command, with its prints going to a file and changes to the environment."""


@dataclass
class Job:
    """A command.

    Attributes:
        name: what it is called in `done`.
        command: program and arguments.
        log: file that its prints are appended to.
        env: changes to the environment.
    """

    name: str
    command: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)


def start_process(command: Sequence[str], log: Path, env: Mapping[str, str]) -> subprocess.Popen:
    """Start a command in a session of its own: Ctrl-C reaches this process alone."""
    with log.open('ab') as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
            start_new_session=True,
            close_fds=False,  # it inherits the lock of the folder that it writes to
        )


def run_jobs(
    jobs: Sequence[Job],
    limit: int,
    start: Start,
    done: Callable[[Job, int, float], None],
    pause: float = 0.1,
) -> None:
    """Run jobs in order, at most ``limit`` at a time; one that fails stops no other.

    Interrupted (Ctrl-C, SIGTERM, or an error in ``done``), it ends those that run.

    Args:
        jobs: the commands.
        limit: how many at a time, >= 1.
        start: starts one.
        done: told of each that has ended: the job, its exit status and its seconds.
        pause: seconds between two looks at the children.

    Raises:
        KeyboardInterrupt: it was interrupted; the children have ended.
    """
    waiting = list(jobs)
    running: list[tuple[Job, Child, float]] = []
    with terminated_as_interrupted():
        try:
            while waiting or running:
                while waiting and len(running) < limit:
                    job = waiting.pop(0)
                    job.log.parent.mkdir(parents=True, exist_ok=True)
                    running.append((job, start(job.command, job.log, job.env), time.monotonic()))
                ended = [entry for entry in running if entry[1].poll() is not None]
                for entry in ended:
                    running.remove(entry)
                    job, child, began = entry
                    done(job, child.poll(), time.monotonic() - began)
                if not ended:
                    time.sleep(pause)
        finally:
            _end([child for _, child, _ in running])


def _end(children: Sequence[Child]) -> None:
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
    deadline = time.monotonic() + _PATIENCE
    while any(child.poll() is None for child in children):
        if time.monotonic() > deadline:
            for child in children:
                if child.poll() is None:
                    child.kill()
            deadline = float('inf')
        time.sleep(0.02)
