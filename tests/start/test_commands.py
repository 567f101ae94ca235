"""The command `mmdet-lcp`: what it lists, what it runs, and that a list needs no PyTorch."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import mmdet_lcp
from mmdet_lcp.engine.command_line import command_line
from mmdet_lcp_start import commands

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def argv(monkeypatch):
    monkeypatch.setattr('sys.argv', ['mmdet-lcp'])


@pytest.mark.parametrize('words', [[], ['--help'], ['--version'], ['trian']])
def test_it_imports_neither_pytorch_nor_the_package(words):
    code = (
        'import sys\n'
        'from mmdet_lcp_start.commands import main\n'
        f'main({words!r})\n'
        "print(sorted({'torch', 'numpy', 'mmengine', 'mmdet_lcp'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.endswith('[]\n'), done.stderr


def test_detection_imports_no_pytorch(tmp_path):
    """Up to the file, which is not there."""
    words = ['detect', str(tmp_path / 'x.onnx'), 'photo.jpg']
    code = (
        'import sys\n'
        'from mmdet_lcp_start.commands import main\n'
        f'print(main({words!r}))\n'
        "print(sorted({'torch', 'mmengine', 'mmdet', 'mmdet_lcp'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == '1\n[]\n' and done.stderr.startswith('error: '), done.stderr


def test_help_names_every_command_and_how_to_begin(capsys):
    assert commands.main(['--help']) == 0
    printed = capsys.readouterr().out
    for command in commands.COMMANDS:
        assert f'\n  {command.name} ' in printed and command.summary in printed
    assert 'mmdet_lcp::_base_/pruning/lcp_exact.py' in printed
    assert max(map(len, printed.splitlines())) < 100
    assert commands.main([]) == 0 and capsys.readouterr().out == printed


def test_version(capsys):
    assert commands.main(['--version']) == 0
    assert capsys.readouterr().out == f'mmdet-lcp {mmdet_lcp.__version__}\n'


@pytest.mark.parametrize(
    ('name', 'near'),
    [
        ('trian', '`train`'),
        ('comparestudents', '`compare-students`'),
        ('support-table', '`support`'),
        ('tabulate', '`tabulate-runs`'),
    ],
)
def test_a_mistyped_name_is_told_with_the_nearest(name, near, capsys):
    assert commands.main([name, '--help']) == 2
    message = f'error: `mmdet-lcp {name}`: there is no such command; did you mean {near}?\n'
    assert capsys.readouterr().err == message


def test_a_name_like_no_other_is_told_with_all(capsys):
    assert commands.main(['zzz']) == 2
    assert 'there are train, support, ' in capsys.readouterr().err


@pytest.mark.parametrize('command', commands.COMMANDS, ids=lambda command: command.name)
def test_every_command_teaches(command, capsys):
    with pytest.raises(SystemExit) as stop:
        commands.main([command.name, '--help'])
    assert stop.value.code == 0
    printed = ' '.join(capsys.readouterr().out.split())
    assert printed.startswith(f'usage: mmdet-lcp {command.name} ')
    assert command.name in printed.partition('options:')[0]


def test_the_arguments_reach_the_tool_and_reports_can_repeat_them(tmp_path, capsys):
    words = ['tabulate_runs', str(tmp_path), '--csv', 'a b.csv']  # underscores are dashes
    assert commands.main(words) == 1
    assert f'error: no report.json in {tmp_path}' in capsys.readouterr().err
    assert command_line() == f"mmdet-lcp tabulate-runs {tmp_path} --csv 'a b.csv'"


@pytest.mark.parametrize('command', commands.COMMANDS, ids=lambda c: c.name)
def test_the_script_in_tools_runs_the_command_of_its_name(command, monkeypatch):
    ran = []
    monkeypatch.setattr(commands, 'run_tool', lambda name: ran.append(name) or 7)
    own = command.package == commands.TOOLS
    script = command.module_name if own else command.name
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / 'tools' / f'{script}.py'), run_name='__main__')
    assert ran == [command.name] and stop.value.code == 7


def test_the_script_of_a_tool_runs_the_same(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr('sys.argv', ['tools/tabulate_runs.py', str(tmp_path)])
    assert commands.run_tool('tabulate-runs') == 1
    assert f'error: no report.json in {tmp_path}' in capsys.readouterr().err
    assert command_line() == f'python tools/tabulate_runs.py {tmp_path}'
