"""What ends a command, its message and its status."""

import errno
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmdet_lcp.engine.endings import AGAIN, Terminated, exit_status, terminated_as_interrupted
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import atomic_path, write_text


def raising(error: BaseException):
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ('error', 'status', 'words'),
    [
        (CompressionError('the key is wrong'), 1, 'error: the key is wrong'),
        (KeyboardInterrupt(), 130, 'interrupted; the same command goes on from here'),
        (Terminated(), 143, 'stopped by SIGTERM; the same command goes on from here'),
    ],
)
def test_how_it_ends(error, status, words, capsys):
    assert exit_status(raising(error), AGAIN) == status
    assert capsys.readouterr().err.strip() == words
    assert exit_status(lambda: 7, AGAIN) == 7


@pytest.mark.parametrize('bug', [ZeroDivisionError(), RuntimeError('x'), OSError(errno.EIO, 'x')])
def test_a_bug_is_not_hidden(bug):
    with pytest.raises(type(bug)):
        exit_status(raising(bug), AGAIN)


class TestSigterm:
    def test_ends_with_a_message_and_cleans_up(self, capsys):
        ended = []

        def work() -> int:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)
            finally:
                ended.append('cleaned up')
            return 0

        before = signal.getsignal(signal.SIGTERM)
        assert exit_status(work, AGAIN) == 143
        assert ended == ['cleaned up']
        assert 'stopped by SIGTERM' in capsys.readouterr().err
        assert signal.getsignal(signal.SIGTERM) is before

    def test_one_that_is_sent_twice_does_not_disturb_the_cleaning(self):
        ended = []
        with pytest.raises(Terminated), terminated_as_interrupted():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                ended.append('cleaned up')
        assert ended == ['cleaned up']

    def test_other_threads_have_no_signals(self):
        found = []
        thread = threading.Thread(target=lambda: found.append(exit_status(lambda: 3, AGAIN)))
        thread.start()
        thread.join()
        assert found == [3]


class Dying(Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return index


def test_a_dead_data_worker(capsys):
    loader = DataLoader(Dying(), num_workers=1)
    assert exit_status(lambda: len(list(loader)), AGAIN) == 1
    told = capsys.readouterr().err
    assert told.startswith('error: a process that loads data has died (DataLoader worker (pid')
    assert 'lower `num_workers`' in told and AGAIN in told


class Broken(Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise CompressionError('x.jpg: cannot be read')


def test_what_is_wrong_in_a_data_worker_is_a_line(capsys):
    loader = DataLoader(Broken(), num_workers=1)
    assert exit_status(lambda: len(list(loader)), AGAIN) == 1
    assert capsys.readouterr().err == 'error: x.jpg: cannot be read\n'


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 64 KiB: what is written behind that fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk(tmp_path, small_disk, capsys):
    """Of files that mmengine writes, in place."""

    def work() -> int:
        (tmp_path / 'log').write_bytes(bytes(1 << 17))
        return 0

    assert exit_status(work, AGAIN) == 1
    assert capsys.readouterr().err.startswith('error: nothing more can be written')
    full = OSError(errno.ENOSPC, 'No space left on device', '/a/b')
    assert exit_status(raising(full), AGAIN) == 1
    assert 'written to /a/b: the disk is full' in capsys.readouterr().err


@pytest.mark.parametrize('write', [lambda path: write_text(path, 'x' * (1 << 17)), None])
def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, small_disk, write):
    path = tmp_path / 'stage.pth'
    path.write_text('before')
    with pytest.raises(CompressionError, match=r'stage\.pth: cannot be written .* disk is full'):
        if write is not None:
            write(path)
        else:
            with atomic_path(path) as temporary:
                torch.save({'weight': torch.randn(1 << 15)}, temporary)
    assert path.read_text() == 'before'
    assert list(tmp_path.iterdir()) == [path]
