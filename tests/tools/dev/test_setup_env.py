"""Setting up the environment; that it works is what `make setup` shows."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def setup_env(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.syspath_prepend(ROOT / 'tools' / 'dev')
    return runpy.run_path(str(ROOT / 'tools' / 'dev' / 'setup_env.py'))


def test_every_third_party_package_is_pinned():
    for name in ('pinned.txt', 'stack_openmmlab.txt', 'stack_onedl.txt', 'dev.txt'):
        for line in (ROOT / 'requirements' / name).read_text().splitlines():
            if line and not line.startswith('#'):
                assert re.match(r'[\w-]+==[\w.]+(; python_version .+)?$', line), line


@pytest.mark.parametrize('name', ['openmmlab', 'onedl'])
def test_the_wheel_is_kept_in_the_users_cache_for_its_torch_and_python(setup_env, tmp_path, name):
    folder = setup_env['wheel_folder'](setup_env['STACKS'][name])
    assert folder.is_relative_to(tmp_path)
    torch = re.search(r'^torch==(\S+)', (ROOT / 'requirements/pinned.txt').read_text(), re.M)[1]
    assert f'torch{torch}' in folder.name
    assert f'py{sys.version_info[0]}{sys.version_info[1]}' in folder.name
    assert folder.name.startswith('onedl-mmcv' if name == 'onedl' else 'mmcv')


def test_each_stack_has_an_environment_of_its_own(setup_env):
    stacks = setup_env['STACKS'].values()
    assert {stack.venv for stack in stacks} == {'.venv', '.venv-onedl'}
    assert len({setup_env['fingerprint'](stack) for stack in stacks}) == 2
    for stack in stacks:
        assert all((ROOT / 'requirements' / name).exists() for name in stack.requirements)


def test_an_unknown_stack_is_refused_with_the_known_ones(setup_env, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['setup_env.py', '--stack', 'openmm'])
    with pytest.raises(SystemExit, match='STACK=openmm is not known: openmmlab or onedl'):
        setup_env['main']()


def test_another_python_is_refused_with_the_way_out(setup_env, monkeypatch):
    monkeypatch.setattr(sys, 'version_info', (3, 9, 0))
    with pytest.raises(SystemExit, match=r'3\.10 to 3\.13.*make setup PYTHON='):
        setup_env['check_machine']()


def test_a_newer_python_is_tried_if_one_asks_for_it(setup_env, monkeypatch):
    monkeypatch.setattr(sys, 'version_info', (3, 14, 0))
    with pytest.raises(SystemExit, match=r'3\.10 to 3\.13.*make setup ANY_PYTHON=1'):
        setup_env['check_machine']()
    monkeypatch.setattr(setup_env['shutil'], 'which', lambda tool: None)
    with pytest.raises(SystemExit, match='to compile mmcv'):  # what is looked at next
        setup_env['check_machine'](any_python=True)


def test_exec_sets_what_locals_has_as_before_python_3_13():
    """What mmcv's setup.py does; by itself it is a KeyError since then."""
    code = (
        'def version():\n'
        "    exec(compile('__version__ = 42', 'version.py', 'exec'))\n"
        "    return locals()['__version__']\n"
        'scope = {}\n'
        "exec('a = 1', scope)\n"
        "exec('b = a + 1', scope, inner := {})\n"
        "print(version(), scope['a'], inner, 'version' in globals())\n"
    )
    folder = ROOT / 'tools' / 'dev' / 'exec_into_locals'
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'PYTHONPATH': str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "42 1 {'b': 2} True\n", done.stderr


def test_a_missing_compiler_is_told_with_the_command(setup_env, monkeypatch):
    monkeypatch.setattr(setup_env['shutil'], 'which', lambda tool: None)
    with pytest.raises(SystemExit, match=r'g\+\+.*apt-get install'):
        setup_env['check_machine']()


def test_a_changed_requirement_runs_it_again(setup_env, monkeypatch, tmp_path):
    stack = setup_env['STACKS']['openmmlab']
    before = setup_env['fingerprint'](stack)
    assert setup_env['fingerprint'](stack) == before
    (tmp_path / 'requirements').mkdir()
    for name in stack.requirements:
        (tmp_path / 'requirements' / name).write_text('numpy==1.0\n')
    (tmp_path / 'setup.py').write_text('')
    monkeypatch.setitem(setup_env['fingerprint'].__globals__, 'ROOT', tmp_path)
    assert setup_env['fingerprint'](stack) != before
