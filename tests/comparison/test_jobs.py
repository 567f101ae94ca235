"""Processes, so many at a time."""

import subprocess
import sys
import time

import pytest

from mmdet_lcp.comparison import start_process
from mmdet_lcp.comparison.jobs import Job, run_jobs


def job(tmp_path, name: str, code: str) -> Job:
    return Job(name, [sys.executable, '-S', '-c', code], tmp_path / f'{name}.txt', {'A': 'b'})


def test_prints_status_and_environment(tmp_path):
    ended = {}
    jobs = [
        job(tmp_path, 'good', "import os; print(os.environ['A'])"),
        job(tmp_path, 'bad', 'raise SystemExit(3)'),
    ]
    run_jobs(jobs, 2, start_process, lambda j, status, s: ended.update({j.name: status}))
    assert ended == {'good': 0, 'bad': 3}
    assert (tmp_path / 'good.txt').read_text() == 'b\n'


def test_so_many_at_a_time(tmp_path):
    running, most = [], []

    class Counting:
        def __init__(self, *_):
            running.append(self)
            most.append(len(running))
            self.polls = 0

        def poll(self):
            self.polls += 1
            return 0 if self.polls > 2 else None

    jobs = [job(tmp_path, str(i), '') for i in range(5)]
    run_jobs(jobs, 2, Counting, lambda *_: running.pop(), pause=0)
    assert len(most) == 5 and max(most) == 2


def test_an_interrupt_ends_the_children(tmp_path):
    children = []

    def start(*args):
        children.append(start_process(*args))
        return children[-1]

    def interrupt(*_):
        raise KeyboardInterrupt

    jobs = [
        job(tmp_path, 'long', 'import time; time.sleep(60)'),
        job(tmp_path, 'short', ''),
    ]
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, 2, start, interrupt)
    assert time.monotonic() - began < 30
    assert all(isinstance(child, subprocess.Popen) for child in children)
    assert [child.poll() for child in children] == [-15, 0]
