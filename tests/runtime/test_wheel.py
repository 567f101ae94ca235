"""The runtime as a distribution of its own."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import mmdet_lcp_runtime
from mmdet_lcp.version import __version__

ROOT = Path(__file__).parents[2]


def test_it_asks_for_numpy_alone_and_brings_its_commands(tmp_path):
    shutil.copytree(
        ROOT / 'runtime',
        tmp_path / 'source',
        ignore=shutil.ignore_patterns('__pycache__', 'build', '*.egg-info'),
    )
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '-q']
    done = subprocess.run(
        [*command, str(tmp_path / 'source'), '-w', str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob('mmdet_lcp_runtime-*.whl')
    archive = zipfile.ZipFile(wheel)
    names = {name for name in archive.namelist() if name.endswith('.py')}
    written = (ROOT / 'runtime').rglob('mmdet_lcp_runtime/**/*.py')
    assert names == {path.relative_to(ROOT / 'runtime').as_posix() for path in written}
    info = f'mmdet_lcp_runtime-{__version__}.dist-info'
    needs = [
        line.partition(': ')[2]
        for line in archive.read(f'{info}/METADATA').decode().splitlines()
        if line.startswith('Requires-Dist: ') and 'extra ==' not in line
    ]
    assert needs == ['numpy']
    entry = archive.read(f'{info}/entry_points.txt').decode()
    assert 'mmdet-lcp-detect = mmdet_lcp_runtime.command:run' in entry
    assert 'mmdet-lcp-rknn = mmdet_lcp_runtime.rknn.command:run' in entry


def test_both_packages_have_one_version():
    assert mmdet_lcp_runtime.__version__ == __version__


def test_the_package_passes_it_on():
    import mmdet_lcp.runtime

    for name in mmdet_lcp.runtime.__all__:
        assert getattr(mmdet_lcp.runtime, name) is getattr(mmdet_lcp_runtime, name)
