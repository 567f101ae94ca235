"""Run scripts in processes of their own, without paying for PyTorch's import each time.

A server process imports the packages below mmdet_lcp once; every script is a fork of it, started
as ``python SCRIPT ARGS`` would: its own ``__main__``, arguments, environment and output files.
mmdet_lcp itself is not imported before the script does it.
"""

import contextlib
import gc
import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

PRELOADED = (
    'mmdet.apis',
    'mmdet.datasets',
    'mmdet.evaluation',
    'mmdet.models',
    'mmdet.visualization',
    'mmengine.analysis',
    'mmengine.runner',
    'matplotlib.pyplot',
    'sklearn.datasets',
    'torch.distributed',
)
_context = multiprocessing.get_context('forkserver')
_context.set_forkserver_preload(list(PRELOADED))


class Script:
    """A script that runs in its own process.

    Args:
        path: the script.
        args: its arguments.
        output: folder for what it prints.
        env: changes to the environment; PYTHONPATH only if it is among them.
    """

    def __init__(
        self,
        path: Path,
        args: list,
        output: Path,
        env: dict | None = None,
    ) -> None:
        output.mkdir(parents=True, exist_ok=True)
        self.files = [output / 'stdout.txt', output / 'stderr.txt']
        args = [str(arg) for arg in args]
        self.process = _context.Process(
            target=_main,
            args=(str(path), args, [str(f) for f in self.files], env or {}),
        )
        self.process.start()

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self.files[0].read_text() if self.files[0].exists() else ''

    @property
    def err(self) -> str:
        """Its messages so far."""
        return self.files[1].read_text() if self.files[1].exists() else ''

    def wait(self, timeout: float = 240) -> int:
        """The exit status; a process that hangs is killed and fails the test."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f'hangs:\n{self.out[-2000:]}\n{self.err[-2000:]}')
        return self.process.exitcode

    def check(self) -> 'Script':
        """Wait, and fail the test unless it ended well."""
        code = self.wait()
        assert code == 0, f'exit status {code}\n{self.out[-2000:]}\n{self.err[-4000:]}'
        return self

    def kill_when(self, moment: Callable[[], bool], timeout: float = 240) -> None:
        """Send SIGKILL as soon as ``moment()`` is true; it must come before the script ends."""
        end = time.monotonic() + timeout
        while not moment():
            alive = self.process.is_alive() and time.monotonic() < end
            assert alive, f'the moment did not come:\n{self.out[-3000:]}\n{self.err[-3000:]}'
            time.sleep(0.002)
        self.process.kill()
        assert self.wait() == -signal.SIGKILL


def _main(path: str, args: list[str], files: list[str], env: dict[str, str]) -> None:
    for file, stream in zip(files, (1, 2), strict=True):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, stream)
    gc.freeze()  # for each data set mmengine collects garbage: not among all objects of PyTorch
    sys.stdout = open(1, 'w', buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, 'w', buffering=1, closefd=False)  # noqa: SIM115
    os.environ.update(env)
    sys.argv = [path, *args]
    sys.path = [p for p in sys.path if not p.startswith(str(Path(__file__).parent))]
    sys.path[:0] = filter(None, env.get('PYTHONPATH', '').split(os.pathsep))
    assert 'mmdet_lcp' not in sys.modules
    import mmengine.config.config

    # Laying configs out nicely takes mmengine seconds.
    mmengine.config.config.FormatCode = lambda text, **_: (text, True)
    with contextlib.suppress(KeyboardInterrupt):
        runpy.run_path(path, run_name='__main__')
