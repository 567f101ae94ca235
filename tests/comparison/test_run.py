"""Cells are run once, resumed, and told."""

import json
from pathlib import Path

import made_reports
import pytest

from mmdet_lcp.comparison import Request, plan_comparison, run_comparison
from mmdet_lcp.comparison.folder import locked
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json


class Finished:
    """A process that has ended, after writing what a run writes."""

    def __init__(self, status: int = 0) -> None:
        self.status = status

    def poll(self) -> int:
        return self.status

    def terminate(self) -> None:
        pass

    kill = terminate


def pretend(started: list, failing: str = 'never'):
    """A way of starting that trains nothing."""

    def start(command, log, env):
        started.append((log.parent.name, env))
        folder = Path(command[command.index('--work-dir') + 1])
        folder.mkdir(exist_ok=True)
        if failing in str(folder):
            log.write_text(''.join(f'line {i}\n' for i in range(50)))
            return Finished(1)
        if 'scratch' in str(folder):
            result = dict(metrics={'pascal_voc/AP50': 0.7}, params=10, macs=20, seconds=3.0)
            write_json(folder / 'control.json', result)
        else:
            write_json(folder / 'report.json', made_reports.report().to_dict())
        return Finished()

    return start


def run(plan, out, start, **more):
    told = []
    ended_well = run_comparison(plan, out, Path('train.py'), start=start, tell=told.append, **more)
    return ended_well, told


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Pictures take seconds and have tests of their own."""
    calls = []
    name = 'mmdet_lcp.comparison.run.draw_comparison'
    monkeypatch.setattr(name, lambda *args: calls.append(args))
    return calls


def test_everything_once(plan, tmp_path, drawn):
    started = []
    ended_well, told = run(plan, tmp_path, pretend(started))
    assert ended_well
    names = [cell.name for cell in plan.cells if not cell.same_as]
    assert [name for name, _ in started] == names
    assert sum(line.startswith('[') for line in told) == 8
    first = next(line for line in told if line.startswith('['))
    assert first.startswith('[1/8, about ')
    assert 'lcp 0.5 seed 3: mAP 0.824' in first and told[-1].startswith('[8/8] ')
    assert len(drawn) == 1

    started.clear()
    ended_well, told = run(plan, tmp_path, pretend(started))
    assert ended_well and not started
    assert '8 of 8 runs have ended before' in told


def test_a_failure_stops_no_other(plan, tmp_path):
    started = []
    ended_well, told = run(plan, tmp_path, pretend(started, 'lcp+exact_r0.5_s3'))
    assert not ended_well and len(started) == 8
    assert told[-1].splitlines()[-2:] == ['line 49', '(exit status 1)']
    table = (tmp_path / 'table.md').read_text()
    assert '7 of 8 runs have ended, 1 failed.' in table
    started.clear()
    assert run(plan, tmp_path, pretend(started))[0]
    assert [name for name, _ in started] == ['lcp+exact_r0.5_s3']
    assert 'failed' not in (tmp_path / 'table.md').read_text()


@pytest.mark.parametrize(('given', 'expected'), [(None, '2'), ('5', '5')])
def test_threads_are_shared_out_unless_given(plan, tmp_path, monkeypatch, given, expected):
    monkeypatch.setattr('mmdet_lcp.comparison.run._cores', lambda: 8)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    if given:
        monkeypatch.setenv('OMP_NUM_THREADS', given)
    started = []
    run_comparison(plan, tmp_path, Path('t.py'), 3, start=pretend(started), tell=lambda _: None)
    assert {env['OMP_NUM_THREADS'] for _, env in started} == {expected}


def test_another_method_joins(plan, config, tmp_path):
    run(plan, tmp_path, pretend([]))
    started = []
    more = plan_comparison(Request(config, ['lcp+none'], [0.5], finetune_iters=2))
    run(more, tmp_path, pretend(started))
    assert [name for name, _ in started] == ['lcp+none_r0.5_s0']
    rows = (tmp_path / 'table.csv').read_text().splitlines()
    assert len(rows) == 1 + 11 and rows[-1].startswith('lcp+none')


def test_another_budget_is_refused(plan, config, tmp_path):
    run(plan, tmp_path, pretend([]))
    other = plan_comparison(Request(config, ['lcp'], [0.5], finetune_iters=3))
    with pytest.raises(CompressionError, match=r'--finetune-iters: \d+ then, 3 now'):
        run(other, tmp_path, pretend([]))


def test_another_config_of_a_cell_is_refused(plan, tmp_path):
    run(plan, tmp_path, pretend([]))
    path = tmp_path / 'cells' / 'lcp_r0.5_s3' / 'cell.json'
    data = json.loads(path.read_text())
    data['fingerprint']['config']['pruning']['ratio'] = 0.25
    write_json(path, data)
    message = r'lcp_r0\.5_s3 holds a run with another config:\n  pruning\.ratio: 0\.25 then, 0\.5'
    with pytest.raises(CompressionError, match=message):
        run(plan, tmp_path, pretend([]))


def test_one_at_a_time_in_a_folder(plan, tmp_path):
    with locked(tmp_path), pytest.raises(CompressionError, match='another comparison'):
        run(plan, tmp_path, pretend([]))
