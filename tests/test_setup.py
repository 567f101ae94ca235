"""What is installed: the package with its configs and tools."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_wheel_ships_configs_and_tools(tmp_path):
    source = tmp_path / 'source'
    source.mkdir()
    for name in ('setup.py', 'pyproject.toml', 'README.md'):
        shutil.copy(ROOT / name, source)
    for name in ('mmdet_lcp', 'configs', 'tools'):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns('.mim', '__pycache__')
        )
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '-q']
    done = subprocess.run(
        [*command, str(source), '-w', str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob('mmdet_lcp-*.whl')
    names = set(zipfile.ZipFile(wheel).namelist())
    assert 'mmdet_lcp/registry.py' in names
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*.py'):
            if 'dev' not in path.parts:
                assert f'mmdet_lcp/.mim/{path.relative_to(ROOT).as_posix()}' in names
    assert not any('/dev/' in name for name in names)
