"""A folder has one run at a time."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from mmdet_lcp.engine import lock
from mmdet_lcp.engine.lock import FILE, alone_in
from mmdet_lcp.errors import CompressionError

# Takes a folder without PyTorch's import, says so, and stays.
OTHER = """
import importlib.util, sys, time, types
for name in (
    'mmengine', 'mmengine.logging', 'mmdet_lcp', 'mmdet_lcp.engine', 'mmdet_lcp.engine.ranks',
    'mmdet_lcp.errors', 'mmdet_lcp.files',
):
    sys.modules[name] = types.ModuleType(name)
sys.modules['mmengine.logging'].print_log = print
sys.modules['mmdet_lcp.engine.ranks'].on_main = None
sys.modules['mmdet_lcp.errors'].CompressionError = ValueError
sys.modules['mmdet_lcp.files'].remove_leftovers = None
spec = importlib.util.spec_from_file_location('lock', sys.argv[1])
lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lock)
with lock.alone_in(sys.argv[2]):
    print('taken', flush=True)
    time.sleep(100)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that works in the folder."""
    process = subprocess.Popen(
        [sys.executable, '-c', OTHER, lock.__file__, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b'taken\n'
    yield process
    process.kill()
    process.wait()


def written_by(folder, host, age, pid=1):
    path = folder / FILE
    path.write_text(json.dumps(dict(host=host, pid=pid, began=0.0)))
    os.utime(path, (time.time() - age,) * 2)


def test_a_second_process_is_refused_until_the_first_has_died(tmp_path, other):
    message = rf'process {other.pid} on {socket.gethostname()}.*--resume.*--work-dir'
    for _ in range(2):  # looking at it does not give it up
        with pytest.raises(CompressionError, match=message), alone_in(tmp_path):
            pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    with alone_in(tmp_path):
        assert json.loads((tmp_path / FILE).read_text())['pid'] == os.getpid()
    assert not (tmp_path / FILE).exists()


def test_a_process_may_take_its_folder_again(tmp_path):
    with alone_in(tmp_path):
        with alone_in(f'{tmp_path}/x/..'):
            pass
        assert (tmp_path / FILE).exists()
    assert not (tmp_path / FILE).exists()


def test_another_machine_that_lives(tmp_path):
    written_by(tmp_path, 'elsewhere', age=lock.STALE - 30)
    with pytest.raises(CompressionError, match='process 1 on elsewhere'), alone_in(tmp_path):
        pass


@pytest.mark.parametrize('host', ['elsewhere', socket.gethostname()])
def test_what_was_left_behind(tmp_path, host):
    written_by(tmp_path, host, age=lock.STALE + 30)
    with alone_in(tmp_path):
        pass


def test_files_half_written_by_the_dead_are_removed(tmp_path):
    left = tmp_path / 'pruning_state' / '.stage.0123abcd.tmp.pth'
    left.parent.mkdir()
    left.touch()
    with alone_in(tmp_path):  # nobody has died here
        assert left.exists()
    written_by(tmp_path, 'elsewhere', age=lock.STALE + 30)
    with alone_in(tmp_path):
        assert not left.exists()


def test_a_damaged_file(tmp_path):
    (tmp_path / FILE).write_text('{"host"')
    with alone_in(tmp_path):
        pass


def test_it_is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, 'TOUCHED', 0.01)
    with alone_in(tmp_path):
        os.utime(tmp_path / FILE, (0, 0))
        end = time.monotonic() + 10
        while os.stat(tmp_path / FILE).st_mtime < 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert os.stat(tmp_path / FILE).st_mtime > 1
