"""Where a training goes on, at whatever moment it was killed."""

import os

import pytest
import torch

from mmdet_lcp.engine import resuming
from mmdet_lcp.engine.resuming import begin_or_resume


def save(path) -> str:
    torch.save({'state_dict': {'weight': torch.rand(4)}}, path)
    return str(path)


def test_begins_where_it_was_told(tmp_path):
    assert begin_or_resume(tmp_path, 'dense.pth') == (False, 'dense.pth')
    assert begin_or_resume(tmp_path, None) == (False, None)
    (tmp_path / 'epoch_1.pth').write_bytes(b'PK')  # killed while the first one was written
    assert begin_or_resume(tmp_path, 'dense.pth') == (False, 'dense.pth')


@pytest.mark.parametrize('load_from', ['dense.pth', None])
def test_goes_on_where_it_was(tmp_path, load_from):
    newest = save(tmp_path / 'epoch_2.pth')
    save(tmp_path / 'epoch_3.pth')  # not named: killed before
    (tmp_path / 'last_checkpoint').write_text(newest)
    assert begin_or_resume(tmp_path, load_from) == (True, newest)
    # DeepSpeed's are folders; others may be in a store.
    for elsewhere in (str(tmp_path), 's3://bucket/epoch_2.pth'):
        (tmp_path / 'last_checkpoint').write_text(elsewhere)
        assert begin_or_resume(tmp_path, load_from) == (True, elsewhere)


@pytest.mark.parametrize('kind', ['epoch', 'iter'])
@pytest.mark.parametrize('killed', ['name', 'removed', 'empty', 'half'])
def test_killed_while_mmengine_wrote(tmp_path, monkeypatch, kind, killed):
    told = []
    monkeypatch.setattr(resuming, 'print_log', lambda text, *_: told.append(text))
    older, newest = (save(tmp_path / f'{kind}_{number}.pth') for number in (9, 10))
    os.utime(older, (1e9, 1e9))
    (tmp_path / 'last_checkpoint').write_text('' if killed == 'name' else newest)
    expected = newest if killed == 'name' else older
    whole = (tmp_path / f'{kind}_10.pth').read_bytes()
    if killed == 'removed':
        os.remove(newest)
    elif killed in ('empty', 'half'):
        size = len(whole) // 2 if killed == 'half' else 0
        (tmp_path / f'{kind}_10.pth').write_bytes(whole[:size])
    assert begin_or_resume(tmp_path, 'dense.pth') == (True, expected)
    (line,) = told
    assert line.endswith(f'goes on from {expected}')


def test_nothing_whole_begins_again(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('')
    assert begin_or_resume(tmp_path, 'dense.pth') == (False, 'dense.pth')
