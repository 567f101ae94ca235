"""Rows in processes of their own: whatever happens to one, the others are made."""

import faulthandler
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdet_lcp.coverage import rows
from mmdet_lcp.coverage.criteria import CriterionFacts
from mmdet_lcp.coverage.detectors import SupportedDetector
from mmdet_lcp.coverage.facts import TrialFacts
from mmdet_lcp.coverage.rows import Row, make_rows, read_row, read_rows, versions
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json


def busy() -> None:
    while True:
        pass


DEEDS: dict[str, Callable[[], None]] = {
    'works': lambda: print('working'),
    'exits': lambda: os._exit(3),
    'crashes': lambda: os.kill(os.getpid(), signal.SIGSEGV),
    'is busy': busy,
    'sleeps': lambda: time.sleep(600),
}


class FakeTrial:
    """Does in its only step what the detector's name says."""

    def __init__(self, detector: SupportedDetector, criteria, tell: Callable, keep: Callable):
        self.facts = TrialFacts(detector.name, detector.config, detector.size)
        self.criteria, self.tell, self.keep = criteria, tell, keep

    def run(self) -> None:
        faulthandler.disable()  # pytest's, which would tell of the crash
        self.tell('one step')
        self.facts.running = 'pruned'
        self.keep(self.facts)
        DEEDS[self.facts.name]()
        self.facts.running = ''
        self.facts.criteria = dict.fromkeys(self.criteria, CriterionFacts())
        self.keep(self.facts)


@pytest.fixture
def make(tmp_path, monkeypatch) -> Callable[..., dict[str, TrialFacts]]:
    monkeypatch.setattr(rows, 'Trial', FakeTrial)
    monkeypatch.setattr(rows, 'LIMIT', 1)
    monkeypatch.setattr(rows, 'WAITS', 60)  # of the clock: others may be busy here, too

    def run(*names: str, jobs: int = 1) -> dict[str, TrialFacts]:
        told, made = [], {}
        make_rows(
            [row(tmp_path, name) for name in names],
            jobs,
            lambda row, line: told.append((row.detector.name, line)),
            lambda row, facts: made.update({row.detector.name: facts}),
        )
        assert sorted(told) == sorted((name, 'one step') for name in names)
        return made

    return run


def row(folder: Path, name: str, *criteria: str) -> Row:
    return Row(SupportedDetector(name, 'd.py', 64), criteria, folder / f'{name}.json')


def test_what_happens_to_one_stays_with_it(make, tmp_path):
    made = make('crashes', 'exits', 'works')
    assert list(made) == ['crashes', 'exits', 'works']
    assert made['crashes'].failures == {'pruned': 'it crashes: SIGSEGV'}
    assert made['exits'].failures == {'pruned': 'its process ended with status 3'}
    assert made['works'].failures == {}
    assert all(facts.running == '' for facts in made.values())
    assert (tmp_path / 'works.log').read_text() == 'working\n'
    assert read_row(tmp_path / 'crashes.json') == made['crashes']


def test_processor_time_is_limited(make):
    began = os.times()
    assert make('is busy')['is busy'].failures == {
        'pruned': 'it takes more than 1 s of processor time'
    }
    ended = os.times()
    assert 0.9 < ended.children_user - began.children_user < 6


def test_a_process_that_waits_for_ever_is_ended_by_the_clock(make, monkeypatch):
    monkeypatch.setattr(rows, 'WAITS', 1)
    began = time.monotonic()
    assert make('sleeps')['sleeps'].failures['pruned'].startswith('it hangs: after 1 s')
    assert 1 <= time.monotonic() - began < 60


def test_several_at_a_time(make, monkeypatch):
    monkeypatch.setattr(rows, 'WAITS', 5)
    made = make('sleeps', 'works', jobs=2)
    assert list(made) == ['works', 'sleeps']  # which did not wait for the other


def test_an_interruption_ends_the_processes(make, monkeypatch):
    begun = []
    start = rows._RowProcess.__init__

    def noted(self, row) -> None:
        start(self, row)
        begun.append(self.process.pid)

    def interrupt(self, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(rows._RowProcess, '__init__', noted)
    monkeypatch.setattr(rows._RowProcess, 'lines', interrupt)
    with pytest.raises(KeyboardInterrupt):
        make('sleeps')
    (pid,) = begun
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


class TestDone:
    def test_a_finished_row_is_done_until_something_changes(self, make, tmp_path, monkeypatch):
        made = row(tmp_path, 'works')
        assert not made.is_done()
        make('works')
        assert made.is_done()
        assert not row(tmp_path, 'works', 'L1').is_done()  # a criterion that was not tried
        monkeypatch.setattr(rows, 'versions', lambda: versions() | {'mmdet': '4.0.0'})
        assert not made.is_done()

    def test_more_criteria_than_are_asked_for_do_no_harm(self, tmp_path):
        asked = row(tmp_path, 'works', 'L1')
        facts = TrialFacts('works', 'd.py', 64, made_with=versions())
        facts.criteria = {name: CriterionFacts() for name in ('L1', 'L2')}
        write_json(asked.path, facts)
        assert asked.is_done()

    def test_a_row_that_was_interrupted_is_not(self, tmp_path):
        facts = TrialFacts('works', 'd.py', 64, running='pruned', made_with=versions())
        write_json(tmp_path / 'works.json', facts)
        assert not row(tmp_path, 'works').is_done()

    @pytest.mark.parametrize('text', ['{', '{"name": 1}', '[]'])
    def test_a_damaged_file_is_told(self, tmp_path, text):
        (tmp_path / 'works.json').write_text(text)
        with pytest.raises(CompressionError, match=r'works.json is damaged: .* Delete it'):
            row(tmp_path, 'works').is_done()


def test_what_is_written_is_read_back(tmp_path):
    facts = TrialFacts('D', 'd.py', 64, criteria={'L1': CriterionFacts(2, {'why': ['conv']})})
    write_json(tmp_path / 'd.json', facts)
    assert read_row(tmp_path / 'd.json') == facts
    assert json.loads((tmp_path / 'd.json').read_text())['criteria']['L1']['groups'] == 2


def test_the_rows_of_a_folder_have_the_order_of_the_zoo(tmp_path):
    for name in ('own', 'YOLOX-nano', 'SSD300', 'ATSS R18', 'SSDLite MobileNetV2'):
        detector = SupportedDetector(name, 'd.py', 64)
        write_json(tmp_path / f'{detector.key}.json', TrialFacts(name, 'd.py', 64))
    write_json(tmp_path / 'begun.json', TrialFacts('begun', 'd.py', 64, running='traced'))
    found = [facts.name for facts in read_rows(tmp_path)]
    assert found == ['ATSS R18', 'SSDLite MobileNetV2', 'YOLOX-nano', 'SSD300', 'own']


def test_the_digest_is_of_the_package_without_its_command_line(tmp_path, monkeypatch):
    package = tmp_path / 'package'
    for name in ('cli/tool.py', 'coverage/rows.py', 'graph/plan.py'):
        (package / name).parent.mkdir(parents=True)
        (package / name).write_text('a = 1\n')

    def digest() -> str:
        versions.cache_clear()
        return versions()['mmdet_lcp']

    with monkeypatch.context() as patch:
        patch.setattr(rows, '__file__', str(package / 'coverage' / 'rows.py'))
        first = digest()
        (package / 'cli' / 'tool.py').write_text('a = 2\n')
        assert digest() == first
        (package / 'graph' / 'plan.py').write_text('a = 2\n')
        assert digest() != first
    versions.cache_clear()
