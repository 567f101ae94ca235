"""The line in a terminal, and a log that stays as it is."""

import io
import logging
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from mmdet_lcp.engine.pace import Pace
from mmdet_lcp.engine.progress_line import progress_line

ERASED = '\x1b[1A\x1b[2K'  # a line up, and all of it gone


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def runner(screen):
    """A runner whose log goes to the same terminal."""
    made = SimpleNamespace(logger=logging.Logger('run'), hooks=[], pace=Pace(), iter=4, told=[])
    made.logger.addHandler(logging.StreamHandler(screen))
    made.register_hook = lambda hook, priority: made.hooks.append(hook)
    made.show_progress = lambda line, done: (
        made.told.append(done) or line.show(f'iteration {done}', 1.0, None, pause=0)
    )
    return made


def terminal(screen) -> Console:
    return Console(file=screen, force_terminal=True, width=100, color_system=None)


def plain(text: str) -> str:
    return re.sub(r'\x1b\[[\d;?]*[A-Za-z]', '', text)


def test_it_shows_words_and_what_is_left(runner, screen):
    with progress_line(runner, terminal(screen)) as line:
        assert line.visible
        line.show('stage 3/13 layer[0]', 10.0, 185.0)
        assert 'stage 3/13 layer[0]' in plain(screen.getvalue())
        assert 'about 3 min 05 s left' in plain(screen.getvalue())
        before = len(screen.getvalue())
        line.show('too soon', 10.1, 185.0)
        assert len(screen.getvalue()) == before
    assert screen.getvalue().endswith(ERASED)


def test_it_makes_room_for_the_log_and_comes_back(runner, screen):
    with progress_line(runner, terminal(screen)) as line:
        line.show('first', 1.0, None)
        runner.logger.info('a message')
        shown, _, after = screen.getvalue().partition('a message\n')
        assert shown.endswith(ERASED) and after == ''
        line.show('second', 1.1, None)
        assert 'second' in screen.getvalue()
    assert not runner.logger.handlers[0].filters


def test_every_iteration_counts(runner, screen):
    with progress_line(runner, terminal(screen)):
        (hook,) = runner.hooks
        hook.after_train_iter(runner, 0, data_batch=None, outputs=None)
        assert runner.told == [5] and 'iteration 5' in screen.getvalue()
        hook.before_val(runner)
        assert screen.getvalue().endswith(ERASED)


def test_nothing_where_there_is_no_terminal(runner, screen, monkeypatch):
    monkeypatch.setattr('sys.stderr', screen)
    with progress_line(runner) as line:
        line.show('words', 1.0, 2.0)
        runner.logger.info('a message')
    assert not line.visible and runner.hooks == []
    assert screen.getvalue() == 'a message\n'
