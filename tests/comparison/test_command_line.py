"""What both comparing tools take from the command line, and how they end."""

import argparse

import pytest

from mmdet_lcp.comparison.command_line import add_common_arguments


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_common_arguments(made, 'set keys')
    return made


def test_unless_told(parser):
    assert vars(parser.parse_args([])) == dict(seeds=[0], jobs=1, cfg_options={}, dry_run=False)


def test_all_of_them(parser):
    words = ['--seeds', '3', '1', '--jobs', '2', '--dry-run', '--cfg-options', 'a.b=2', 'c=[1,2]']
    options = {'a.b': 2, 'c': [1, 2]}
    expected = dict(seeds=[3, 1], jobs=2, cfg_options=options, dry_run=True)
    assert vars(parser.parse_args(words)) == expected


@pytest.mark.parametrize('jobs', ['0', '-1', '1.5', 'all'])
def test_jobs_are_counted(parser, jobs, capsys):
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([f'--jobs={jobs}'])
    assert ended.value.code == 2
    assert f'--jobs: {jobs!r} must be an integer of at least 1' in capsys.readouterr().err
