"""What is installed: the package with its configs, tools, command and start-up file."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STEPS = Path('mmdet_lcp', 'measure', 'steps')


@pytest.fixture
def source(tmp_path) -> Path:
    """What a wheel is built of, without what was built of it before."""
    source = tmp_path / 'source'
    source.mkdir()
    for name in ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, source)
    for name in ('mmdet_lcp', 'mmdet_lcp_start', 'runtime', 'configs', 'tools'):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns('.mim', '__pycache__')
        )
    return source


def built(command: list[str], folder: Path) -> zipfile.ZipFile:
    """The wheel that a command writes into a folder."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = folder.glob('mmdet_lcp-*.whl')
    return zipfile.ZipFile(wheel)


def test_a_wheel_ships_configs_and_tools(source, tmp_path):
    command = ['-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '-q']
    wheel = built([*command, str(source), '-w', str(tmp_path)], tmp_path)
    names = set(wheel.namelist())
    assert 'mmdet_lcp/registry.py' in names and 'mmdet_lcp_start/hook.py' in names
    assert {'mmdet_lcp_runtime/detector.py', 'mmdet_lcp_runtime/engines/mnn.py'} <= names
    steps = {f'mmdet_lcp/measure/steps/{p.name}' for p in (ROOT / STEPS).glob('*.json')}
    assert steps and steps <= names
    for path in (ROOT / 'mmdet_lcp').rglob('templates/*'):
        assert path.relative_to(ROOT).as_posix() in names
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*.*'):
            if path.suffix in ('.py', '.sh') and 'dev' not in path.parts:
                assert f'mmdet_lcp/.mim/{path.relative_to(ROOT).as_posix()}' in names
    assert not any('/dev/' in name for name in names)
    assert wheel.read('mmdet_lcp.pth').startswith(b'import mmdet_lcp_start.hook;')
    facts = {name.rpartition('/')[2]: name for name in names if '.dist-info/' in name}
    assert b'mmdet-lcp = mmdet_lcp_start.commands:main' in wheel.read(facts['entry_points.txt'])
    assert b'Apache License' in wheel.read(facts['LICENSE'])
    required = [
        line
        for line in wheel.read(facts['METADATA']).decode().splitlines()
        if line.startswith('Requires-Dist: ') and 'extra ==' not in line
    ]
    # neither stack is pulled over the other: they are extras
    assert any('torch' in line for line in required)
    assert not any(name in line for line in required for name in ('mmdet', 'mmcv', 'mmengine'))


def test_an_editable_install_has_the_start_up_file_too(source, tmp_path):
    code = 'from setuptools.build_meta import build_editable as b; b("..")'
    wheel = built(['-c', f'import os; os.chdir("source"); {code}'], tmp_path)
    assert wheel.read('mmdet_lcp.pth').startswith(b'import mmdet_lcp_start.hook;')
    assert not any(name.startswith('mmdet_lcp/') for name in wheel.namelist())
    assert (source / 'mmdet_lcp' / '.mim' / 'configs' / 'lcp' / 'demo.py').is_file()
