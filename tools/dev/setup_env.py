"""Make `.venv` with the pinned versions, and compile mmcv once per machine.

Two sets of packages have mmdet's import names, OpenMMLab's own and the maintained forks
(`STACKS`); each gets an environment of its own.

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
from dataclasses import dataclass
from pathlib import Path

from mmcv_units import write_units

ROOT = Path(__file__).resolve().parents[2]

CACHE = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmdet_lcp' / 'wheels'
# Without debug information the operators compile in half the time.
COMPILE_FLAGS = {'MMCV_WITH_OPS': '1', 'CFLAGS': '-g0', 'CXXFLAGS': '-g0'}


@dataclass(frozen=True)
class Stack:
    """Packages of one maker under the names mmdet, mmengine and mmcv.

    Attributes:
        name: as in `make setup STACK=...`.
        venv: name of the environment's folder.
        mmcv: distribution that is compiled; its version.
    """

    name: str
    venv: str
    mmcv: tuple[str, str]

    @property
    def folder(self) -> Path:
        """The environment."""
        return ROOT / self.venv

    @property
    def stamp(self) -> Path:
        """The file that is there when the environment is finished."""
        return self.folder / '.mmdet_lcp_setup'

    @property
    def python(self) -> str:
        """The environment's interpreter."""
        return str(self.folder / 'bin' / 'python')

    @property
    def requirements(self) -> tuple[str, ...]:
        """Files in `requirements/`."""
        return 'pinned.txt', f'stack_{self.name}.txt', 'dev.txt'


STACKS = {
    stack.name: stack
    for stack in (
        Stack('openmmlab', '.venv', ('mmcv', '2.1.0')),
        Stack('onedl', '.venv-onedl', ('onedl-mmcv', '2.3.6')),
    )
}


def say(message: str) -> None:
    print(f'[setup] {message}', flush=True)


def fail(message: str) -> None:
    sys.exit(f'[setup] error: {message}')


def fingerprint(stack: Stack) -> str:
    """What the finished environment depends on: a change makes setup run again."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(Path(__file__).with_name('mmcv_units.py').read_bytes())
    for name in stack.requirements:
        digest.update((ROOT / 'requirements' / name).read_bytes())
    digest.update((ROOT / 'setup.py').read_bytes())
    digest.update(str(ROOT).encode())
    return digest.hexdigest()


def check_machine(any_python: bool = False) -> None:
    """Say at once what will not work, and what to do.

    Args:
        any_python: go on with a Python that has not been tried.
    """
    if sys.version_info < (3, 10) or (sys.version_info >= (3, 14) and not any_python):
        newer = (
            ' Newer ones have not been tried with all of it; `make setup ANY_PYTHON=1` tries.'
            if sys.version_info >= (3, 14)
            else ''
        )
        fail(
            f'Python 3.10 to 3.13 is needed, this is {sys.version.split()[0]}. '
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


def pip(stack: Stack, *args: str) -> None:
    command = [stack.python, '-m', 'pip', '--disable-pip-version-check', *args]
    if subprocess.run(command, cwd=ROOT).returncode:
        fail(
            f'`{" ".join(command)}` failed; its message is above. Run `make setup` again to '
            'go on from here.'
        )


def wheel_folder(stack: Stack) -> Path:
    torch = re.search(r'^torch==(\S+)', (ROOT / 'requirements/pinned.txt').read_text(), re.M)[1]
    python = f'py{sys.version_info[0]}{sys.version_info[1]}'
    mmcv = ''.join(stack.mmcv)
    return CACHE / f'{mmcv}-torch{torch}-{python}-{os.uname().machine}'


def build_mmcv(stack: Stack, folder: Path) -> Path:
    """Compile mmcv's operators, showing how far the compiler is; return the wheel."""
    cores = len(os.sched_getaffinity(0))
    say(
        f'compiling {" ".join(stack.mmcv)} (once per machine): '
        f'about {max(1, round(2 / cores))} minutes on {cores} core(s)'
    )
    partial = folder.with_name(folder.name + f'.partial-{os.getpid()}')
    partial.mkdir(parents=True)
    log = partial / 'build.log'
    start = time.time()
    env = {
        **os.environ,
        **COMPILE_FLAGS,
        'MAX_JOBS': str(cores),
        'PATH': f'{stack.folder / "bin"}:{os.environ["PATH"]}',
    }
    if sys.version_info >= (3, 13):  # mmcv 2.1.0's setup.py fails there; the folder says why
        env['PYTHONPATH'] = str(ROOT / 'tools' / 'dev' / 'exec_into_locals')
    source = unpack_mmcv(stack, partial, log, env)
    files, units = write_units(source)
    say(f'  its {files} files in {units}, which read the headers once each')
    wheel = ['wheel', '--no-deps', '--no-build-isolation', str(source), '-w', partial]
    run_logged(stack, wheel, log, env)
    shutil.rmtree(source)
    say(f'mmcv compiled in {time.time() - start:.0f} s')
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    return next(folder.glob('*mmcv-*.whl'))


def unpack_mmcv(stack: Stack, partial: Path, log: Path, env: dict[str, str]) -> Path:
    """Download mmcv's source package; return the folder with its setup.py."""
    name, version = stack.mmcv
    fetch = ['download', '--no-deps', '--no-build-isolation', '--no-binary', name]
    run_logged(stack, [*fetch, f'{name}=={version}', '-d', str(partial)], log, env)
    package = next(partial.glob('*mmcv-*.tar.gz'))
    with tarfile.open(package) as archive:
        archive.extractall(partial, filter='data')
    package.unlink()
    return partial / package.name.removesuffix('.tar.gz')


def run_logged(stack: Stack, arguments: list, log: Path, env: dict[str, str]) -> None:
    """Run pip with its output in a log, showing the compiler's steps; fail with the log's end."""
    command = [stack.python, '-m', 'pip', '-v', *map(str, arguments)]
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
    parser.add_argument(
        '--stack',
        default='openmmlab',
        metavar='NAME',
        help='openmmlab (mmdet 3.3), in .venv, or onedl (the maintained forks), in .venv-onedl; '
        'openmmlab unless given',
    )
    args = parser.parse_args()
    if args.stack not in STACKS:
        fail(f'STACK={args.stack} is not known: openmmlab or onedl')
    stack = STACKS[args.stack]
    if not args.force and stack.stamp.exists() and stack.stamp.read_text() == fingerprint(stack):
        return
    check_machine(args.any_python)
    start = time.time()
    stack.stamp.unlink(missing_ok=True)
    if not Path(stack.python).exists():
        say(f'making {stack.folder} with Python {sys.version.split()[0]}')
        subprocess.run([sys.executable, '-m', 'venv', str(stack.folder)], check=True)
    say('installing the pinned packages (torch is the large one)')
    pinned, own, dev = (f'requirements/{name}' for name in stack.requirements)
    pip(stack, 'install', '--quiet', '-r', pinned, '-r', dev)
    pip(stack, 'install', '--quiet', '--no-deps', '--no-build-isolation', '-r', own)
    folder = wheel_folder(stack)
    wheel = next(folder.glob('*mmcv-*.whl'), None)
    if wheel:
        say(f'{" ".join(stack.mmcv)}: using the wheel compiled earlier, {wheel}')
    else:
        wheel = build_mmcv(stack, folder)
    pip(stack, 'install', '--quiet', '--no-deps', '--force-reinstall', str(wheel))
    pip(stack, 'install', '--quiet', '--no-deps', '--no-build-isolation', '-e', '.')
    stack.stamp.write_text(fingerprint(stack))
    say(f'ready in {time.time() - start:.0f} s: {stack.folder}')


if __name__ == '__main__':
    main()
