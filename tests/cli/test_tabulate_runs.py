from pathlib import Path

import pytest
from made_reports import report

from mmdet_lcp.cli import tabulate_runs
from mmdet_lcp.files import write_json


@pytest.fixture
def runs(tmp_path) -> Path:
    for seed in (0, 1):
        write_json(tmp_path / f'half_s{seed}' / 'report.json', report(seed=seed).to_dict())
    return tmp_path


def test_prints_and_writes(runs, capsys):
    args = [str(runs), '--csv', str(runs / 'runs.csv'), '--markdown', str(runs / 'runs.md')]
    assert tabulate_runs.main(args) == 0
    printed = capsys.readouterr().out
    assert '| half  |     2 | 0.824 ± 0.000' in printed
    assert len((runs / 'runs.csv').read_text().splitlines()) == 3
    assert (runs / 'runs.md').read_text().count('\n') == 4


def test_nothing_there(tmp_path, capsys):
    assert tabulate_runs.main([str(tmp_path)]) == 1
    assert 'name the work_dirs of runs' in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        tabulate_runs.main(['--help'])
    assert stop.value.code == 0
    assert '_s0, _seed1' in capsys.readouterr().out
