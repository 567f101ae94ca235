"""Setting up the environment; that it works is what `make setup` shows."""

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def setup_env(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return runpy.run_path(str(ROOT / 'tools' / 'dev' / 'setup_env.py'))


def test_every_third_party_package_is_pinned():
    for name in ('pinned.txt', 'openmmlab.txt', 'dev.txt'):
        for line in (ROOT / 'requirements' / name).read_text().splitlines():
            if line and not line.startswith('#'):
                assert re.match(r'[\w-]+==[\w.]+(; python_version .+)?$', line), line


def test_the_wheel_is_kept_in_the_users_cache_for_its_torch_and_python(setup_env, tmp_path):
    folder = setup_env['wheel_folder']()
    assert folder.is_relative_to(tmp_path)
    torch = re.search(r'^torch==(\S+)', (ROOT / 'requirements/pinned.txt').read_text(), re.M)[1]
    assert f'torch{torch}' in folder.name
    assert f'py{sys.version_info[0]}{sys.version_info[1]}' in folder.name


def test_another_python_is_refused_with_the_way_out(setup_env, monkeypatch):
    monkeypatch.setattr(sys, 'version_info', (3, 9, 0))
    with pytest.raises(SystemExit, match=r'3\.10 to 3\.12.*make setup PYTHON='):
        setup_env['check_machine']()


def test_a_missing_compiler_is_told_with_the_command(setup_env, monkeypatch):
    monkeypatch.setattr(setup_env['shutil'], 'which', lambda tool: None)
    with pytest.raises(SystemExit, match=r'g\+\+.*apt-get install'):
        setup_env['check_machine']()


def test_a_changed_requirement_runs_it_again(setup_env, monkeypatch, tmp_path):
    before = setup_env['fingerprint']()
    assert setup_env['fingerprint']() == before
    (tmp_path / 'requirements').mkdir()
    for name in setup_env['REQUIREMENTS']:
        (tmp_path / 'requirements' / name).write_text('numpy==1.0\n')
    (tmp_path / 'setup.py').write_text('')
    monkeypatch.setitem(setup_env['fingerprint'].__globals__, 'ROOT', tmp_path)
    assert setup_env['fingerprint']() != before
