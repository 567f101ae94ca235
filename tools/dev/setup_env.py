"""Make `.venv` with the pinned versions, and compile mmcv once per machine.

Standard library only: this runs before anything is installed. mmcv has no
wheel for current PyTorch, so its operators are compiled here; the finished
wheel is kept in the user's cache and the next clone installs it in seconds.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
from pathlib import Path

from mmcv_units import write_units

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / '.venv'
STAMP = VENV / '.mmdet_lcp_setup'
MMCV = '2.1.0'
REQUIREMENTS = ('pinned.txt', 'openmmlab.txt', 'dev.txt')
CACHE = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmdet_lcp' / 'wheels'
# Without debug information the operators compile in half the time.
COMPILE_FLAGS = {'MMCV_WITH_OPS': '1', 'CFLAGS': '-g0', 'CXXFLAGS': '-g0'}


def say(message: str) -> None:
    print(f'[setup] {message}', flush=True)


def fail(message: str) -> None:
    sys.exit(f'[setup] error: {message}')


def fingerprint() -> str:
    """What the finished environment depends on: a change makes setup run again."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(Path(__file__).with_name('mmcv_units.py').read_bytes())
    for name in REQUIREMENTS:
        digest.update((ROOT / 'requirements' / name).read_bytes())
    digest.update((ROOT / 'setup.py').read_bytes())
    digest.update(str(ROOT).encode())
    return digest.hexdigest()


def check_machine(any_python: bool = False) -> None:
    """Say at once what will not work, and what to do.

    Args:
        any_python: go on with a Python that has not been tried.
    """
    if sys.version_info < (3, 10) or (sys.version_info >= (3, 13) and not any_python):
        newer = (
            ' Newer ones have not been tried with all of it; `make setup ANY_PYTHON=1` tries.'
            if sys.version_info >= (3, 13)
            else ''
        )
        fail(
            f'Python 3.10 to 3.12 is needed, this is {sys.version.split()[0]}. '
            f'Choose another with `make setup PYTHON=python3.11`.{newer}'
        )
    missing = [tool for tool in ('g++',) if shutil.which(tool) is None]
    if not (Path(sysconfig.get_paths()['include']) / 'Python.h').exists():
        missing.append('Python.h')
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        missing.append('ensurepip')
    if missing:
        fail(
            f'{", ".join(missing)} not found, needed to compile mmcv. On Debian or Ubuntu: '
            'apt-get install g++ python3-dev python3-venv'
        )


def pip(*args: str) -> None:
    command = [str(VENV / 'bin' / 'python'), '-m', 'pip', '--disable-pip-version-check', *args]
    if subprocess.run(command, cwd=ROOT).returncode:
        fail(
            f'`{" ".join(command)}` failed; its message is above. Run `make setup` again to '
            'go on from here.'
        )


def wheel_folder() -> Path:
    torch = re.search(r'^torch==(\S+)', (ROOT / 'requirements/pinned.txt').read_text(), re.M)[1]
    python = f'py{sys.version_info[0]}{sys.version_info[1]}'
    return CACHE / f'mmcv{MMCV}-torch{torch}-{python}-{os.uname().machine}'


def build_mmcv(folder: Path) -> Path:
    """Compile mmcv's operators, showing how far the compiler is; return the wheel."""
    cores = len(os.sched_getaffinity(0))
    say(
        f'compiling mmcv {MMCV} (once per machine): about {max(1, round(2 / cores))} minutes '
        f'on {cores} core(s)'
    )
    partial = folder.with_name(folder.name + f'.partial-{os.getpid()}')
    partial.mkdir(parents=True)
    log = partial / 'build.log'
    start = time.time()
    env = {
        **os.environ,
        **COMPILE_FLAGS,
        'MAX_JOBS': str(cores),
        'PATH': f'{VENV / "bin"}:{os.environ["PATH"]}',
    }
    if sys.version_info >= (3, 13):  # mmcv's setup.py fails there; the folder says why
        env['PYTHONPATH'] = str(ROOT / 'tools' / 'dev' / 'exec_into_locals')
    source = unpack_mmcv(partial, log, env)
    files = write_units(source)
    say(f'  its 77 files in {files}, which read the headers once each')
    run_logged(
        ['wheel', '--no-deps', '--no-build-isolation', str(source), '-w', partial], log, env
    )
    shutil.rmtree(source)
    say(f'mmcv compiled in {time.time() - start:.0f} s')
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    return next(folder.glob('mmcv-*.whl'))


def unpack_mmcv(partial: Path, log: Path, env: dict[str, str]) -> Path:
    """Download mmcv's source package; return the folder with its setup.py."""
    fetch = ['download', '--no-deps', '--no-build-isolation', '--no-binary', 'mmcv']
    run_logged([*fetch, f'mmcv=={MMCV}', '-d', str(partial)], log, env)
    package = next(partial.glob('mmcv-*.tar.gz'))
    with tarfile.open(package) as archive:
        archive.extractall(partial, filter='data')
    package.unlink()
    return partial / f'mmcv-{MMCV}'


def run_logged(arguments: list, log: Path, env: dict[str, str]) -> None:
    """Run pip with its output in a log, showing the compiler's steps; fail with the log's end."""
    command = [str(VENV / 'bin' / 'python'), '-m', 'pip', '-v', *map(str, arguments)]
    start = time.time()
    with log.open('a') as file:
        build = subprocess.Popen(
            command,
            env=env,
            text=True,
            errors='replace',
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for line in build.stdout:
            file.write(line)
            step = re.search(r'\[(\d+)/(\d+)\]', line)
            if step:
                say(f'  compiled {step[1]}/{step[2]} files, {time.time() - start:4.0f} s')
    if build.wait():
        tail = log.read_text().splitlines()[-25:]
        kept = CACHE / 'build.log'
        shutil.copy(log, kept)
        shutil.rmtree(log.parent)
        fail('mmcv did not compile:\n' + '\n'.join(tail) + f'\nThe whole log: {kept}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--force', action='store_true', help='install again, also if up to date')
    parser.add_argument(
        '--any-python', action='store_true', help='go on with a Python that has not been tried'
    )
    args = parser.parse_args()
    if not args.force and STAMP.exists() and STAMP.read_text() == fingerprint():
        return
    check_machine(args.any_python)
    start = time.time()
    STAMP.unlink(missing_ok=True)
    if not (VENV / 'bin' / 'python').exists():
        say(f'making {VENV} with Python {sys.version.split()[0]}')
        subprocess.run([sys.executable, '-m', 'venv', str(VENV)], check=True)
    say('installing the pinned packages (torch is the large one)')
    pip('install', '--quiet', '-r', 'requirements/pinned.txt', '-r', 'requirements/dev.txt')
    pip('install', '--quiet', '--no-deps', '-r', 'requirements/openmmlab.txt')
    folder = wheel_folder()
    wheel = next(folder.glob('mmcv-*.whl'), None)
    if wheel:
        say(f'mmcv {MMCV}: using the wheel compiled earlier, {wheel}')
    else:
        wheel = build_mmcv(folder)
    pip('install', '--quiet', '--no-deps', '--force-reinstall', str(wheel))
    pip('install', '--quiet', '--no-deps', '--no-build-isolation', '-e', '.')
    STAMP.write_text(fingerprint())
    say(f'ready in {time.time() - start:.0f} s: {VENV}')


if __name__ == '__main__':
    main()
