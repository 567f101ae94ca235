"""The order of a staged run, and what it says of its time; on stages that only take notes."""

import logging
from contextlib import contextmanager
from functools import cached_property
from types import SimpleNamespace

import pytest

from mmdet_lcp.engine.progress import Progress
from mmdet_lcp.engine.staged_runner import StagedRunner


class Finish:
    """Takes a note when the end is reached."""

    def __init__(self, notes: list, done: bool = False) -> None:
        self.notes, self.done = notes, done

    def run(self, progress: Progress) -> str:
        self.notes.append(('finish', progress.seconds))
        return 'delivered'

    def show(self) -> str:
        self.notes.append('show')
        return 'delivered before'

    def load(self, data) -> None:
        self.notes.append(('load', data))


class Pace:
    """A pace that was told how long it takes."""

    def __init__(self, left: float | None = None, knows_training: bool = True) -> None:
        self.left, self.knows_training = left, knows_training
        self.stages = 0

    @contextmanager
    def stage(self):
        yield
        self.stages += 1

    def seconds_left(self, stages_done: int, iterations_done: int) -> float | None:
        return self.left


class Notes(StagedRunner):
    """Three stages, and nothing of mmengine."""

    logger = logging.getLogger('notes')
    iter, max_iters = 20, 50

    def __init__(self, done: int = 0, ended: bool = False, seconds_before: float = 0.0) -> None:
        self.notes: list = []
        self.pace = Pace()
        self.progress = Progress(done, seconds_before=seconds_before)
        self._ended = ended

    @cached_property
    def job(self) -> SimpleNamespace:
        return SimpleNamespace(stages=['a', 'b', 'c'])

    @cached_property
    def finish(self) -> Finish:
        return Finish(self.notes, self._ended)

    def require_own_state(self) -> None:
        self.notes.append('state')

    @contextmanager
    def alone(self):
        self.notes.append('alone')
        yield

    def call_hook(self, name: str) -> None:
        self.notes.append(name)

    def prepare(self) -> None:
        self.notes.append('prepare')

    def run_stage(self, number: int) -> None:
        self.notes.append(self.job.stages[number])
        self.progress.stages_done += 1

    def after_stages(self) -> None:
        self.notes.append('after')


def test_stages_run_in_order():
    runner = Notes()
    assert runner.train() == 'delivered'
    *before, (last, seconds), hook = runner.notes
    assert before == ['state', 'alone', 'prepare', 'a', 'b', 'c', 'after']
    assert (last, hook) == ('finish', 'after_run') and 0 <= seconds < 60


def test_a_resumed_run_begins_behind_the_last_stage_and_counts_all_seconds():
    runner = Notes(done=2, seconds_before=1000.0)
    runner.train()
    assert runner.notes[:5] == ['state', 'alone', 'prepare', 'c', 'after']
    assert 1000 <= runner.notes[5][1] < 1060


def test_a_run_that_has_ended_shows_what_it_came_to():
    runner = Notes(done=3, ended=True)
    assert runner.train() == 'delivered before'
    assert runner.notes == ['state', 'alone', 'prepare', 'show']


def test_records_of_an_earlier_process(caplog):
    runner = Notes()
    step = dict(step='dense', group=None, metrics={'mAP': 0.5})
    saved = dict(steps=[step], stages_done=1, seconds=7.0, measured='measured')
    with caplog.at_level(logging.INFO, logger='notes'):
        runner.resume_from(saved)
    assert vars(runner.progress.steps[0]) == step
    assert runner.notes == [('load', 'measured')]
    assert (runner.progress.stages_done, runner.progress.seconds_before) == (1, 7.0)
    assert 'Resumed after 1 of 3 stages' in caplog.text


def test_without_validation_nothing_is_recorded():
    runner = Notes()
    runner._val_loop = None
    runner.record('dense', SimpleNamespace())
    assert runner.progress.steps == []


@pytest.mark.parametrize(
    ('pace', 'text'),
    [
        (Pace(), '1 min 30 s elapsed'),
        (Pace(600.0), '1 min 30 s elapsed, about 10 min 00 s left'),
        (
            Pace(600.0, knows_training=False),
            '1 min 30 s elapsed, about 10 min 00 s left before 30 iterations of training',
        ),
    ],
)
def test_time(monkeypatch, pace, text):
    runner = Notes()
    runner.pace = pace
    monkeypatch.setattr(Progress, 'seconds', 90.0)
    assert runner.time_text() == text
