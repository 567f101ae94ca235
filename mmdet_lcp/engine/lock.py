"""One run at a time in a folder: who works there is written down, with host and process.

The system's own lock tells a process of this machine that lives from one that has died, at once.
Between machines that share a folder it need not work, so the file is also touched twice a minute:
one that another machine has not touched for a while was left behind.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mmengine.logging import print_log

from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import remove_leftovers

try:
    import fcntl
except ImportError:  # no locks on this system: the touching has to do
    fcntl = None

FILE = '.running'
TOUCHED = 30.0
"""Seconds between two touches."""
STALE = 120.0
"""Seconds without a touch after which another machine's run counts as dead."""
_held: dict[Path, int] = {}  # how often this process has taken each folder


@contextlib.contextmanager
def alone_in(folder: str | Path) -> Iterator[None]:
    """Keep a folder for this process; within it, it may be taken again.

    Args:
        folder: it is made if it is missing.

    Raises:
        CompressionError: another process works there; says which one, and what to do.
    """
    path = Path(folder).resolve() / FILE
    if path in _held:
        _held[path] += 1
        try:
            yield
        finally:
            _held[path] -= 1
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _take(path)
    _held[path] = 1
    ended = threading.Event()
    threading.Thread(target=_touch, args=(file.fileno(), ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        del _held[path]
        with contextlib.suppress(OSError):
            path.unlink()
        file.close()


@contextlib.contextmanager
def rank_alone_in(folder: str | Path) -> Iterator[None]:
    """As `alone_in`, for all ranks of a run together."""
    with contextlib.ExitStack() as stack:
        on_main(lambda: stack.enter_context(alone_in(folder)))
        yield


def _take(path: Path):
    """The file, locked, with this process in it."""
    while True:
        # Closing any other handle of it in this process would give the lock up: this one stays.
        file = path.open('a+', encoding='utf-8')
        lives = not _locked(file)
        file.seek(0)
        owner = _owner(file.read())
        if lives or _lives_elsewhere(file, owner):
            file.close()
            raise CompressionError(_refusal(path, owner))
        if not path.exists() or os.fstat(file.fileno()).st_ino != path.stat().st_ino:
            file.close()  # its last owner has just removed it
            continue
        if owner:
            print_log(f'{path.parent}: {_who(owner)} did not end well; going on', 'current')
            remove_leftovers(path.parent)
        file.truncate(0)
        file.write(json.dumps(dict(host=socket.gethostname(), pid=os.getpid(), began=time.time())))
        file.flush()
        return file


def _locked(file) -> bool:
    """Lock a file for this process, which its children do not inherit; False if it is taken."""
    if fcntl is None:
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _owner(text: str) -> dict:
    try:
        owner = json.loads(text)
        return {key: owner[key] for key in ('host', 'pid', 'began')}
    except (ValueError, KeyError, TypeError):
        return {}


def _lives_elsewhere(file, owner: dict) -> bool:
    """Whether a process that this machine's lock says nothing of has touched the file lately."""
    if not owner or (owner['host'] == socket.gethostname() and fcntl is not None):
        return False
    touched = os.fstat(file.fileno()).st_mtime
    os.utime(file.fileno())  # the clock of the file's machine, not ours
    age = os.fstat(file.fileno()).st_mtime - touched
    os.utime(file.fileno(), (touched, touched))
    return age < STALE


def _touch(descriptor: int, ended: threading.Event) -> None:
    while not ended.wait(TOUCHED):
        with contextlib.suppress(OSError):
            os.utime(descriptor)


def _who(owner: dict) -> str:
    began = time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(owner['began']))
    return f'process {owner["pid"]} on {owner["host"]}, which began {began},'


def _refusal(path: Path, owner: dict) -> str:
    who = _who(owner) if owner else 'another process'
    return (
        f'{path.parent} is being written: {who} works there. Wait until it ends, end it and come '
        f'back with --resume, or choose another --work-dir. A run that has died is noticed by '
        f'itself, one on another machine after {STALE:.0f} seconds; if none is left, delete {path}'
    )
