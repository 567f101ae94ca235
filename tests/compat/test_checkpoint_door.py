"""No reader of mmengine's runs code from a file, on either of the two host stacks."""

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, checkpoint, load_checkpoint
from torch import nn

from mmdet_lcp.compat.checkpoint_door import checkpoints_read_safely, read_checked
from mmdet_lcp.errors import CompressionError


class Mark:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def mark(tmp_path) -> Path:
    return tmp_path / 'code was run'


@pytest.fixture(params=['zip', 'pickle'])
def hostile(request, tmp_path, mark) -> Path:
    """A checkpoint with code in it; it does run where nothing is checked."""
    path = tmp_path / 'hostile.pth'
    content = {'state_dict': {'weight': torch.zeros(1)}, 'meta': Mark(mark)}
    if request.param == 'zip':
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content['meta']))
        pickle.loads(path.read_bytes())
        assert mark.exists()
        mark.rmdir()
    return path


def test_local_files(hostile, mark):
    with pytest.raises(CompressionError, match=r'hostile\.pth: .*(not plain weights|no torch)'):
        CheckpointLoader.load_checkpoint(str(hostile), map_location='cpu')
    with pytest.raises(CompressionError):
        load_checkpoint(nn.Linear(1, 1), str(hostile))
    assert not mark.exists()


def test_pretrained(hostile, mark):
    class Layer(BaseModule):
        def __init__(self) -> None:
            super().__init__(dict(type='Pretrained', checkpoint=str(hostile)))
            self.weight = nn.Parameter(torch.zeros(1))

    with pytest.raises(CompressionError):
        Layer().init_weights()
    assert not mark.exists()


def test_open_files(hostile, mark):
    """What is fetched from a store, on onedl-mmengine."""
    with pytest.raises(Exception) as caught:
        read_checked(io.BytesIO(hostile.read_bytes()))
    assert isinstance(caught.value, pickle.UnpicklingError | RuntimeError)
    with pytest.raises(CompressionError):
        read_checked(hostile, weights_only=False)
    assert not mark.exists()
    fork = getattr(checkpoint, '_safe_torch_load', None)
    assert fork in (None, read_checked)


def test_the_real_getattr_is_not_let_in(tmp_path):
    """onedl-mmengine allows it; with it a file names anything that some class holds."""

    class Reach:
        def __reduce__(self):
            return getattr, (OrderedDict, '__init__')

    torch.save({'meta': Reach()}, tmp_path / 'x.pth')
    with pytest.raises(CompressionError, match='not plain weights'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'x.pth'))


def test_what_is_fetched_from_an_address(hostile, mark, tmp_path, monkeypatch):
    """PyTorch's hub finds the file in its cache, so that nothing is fetched."""
    folder = tmp_path / 'hub' / 'checkpoints'
    folder.mkdir(parents=True)
    (folder / 'x.pth').write_bytes(hostile.read_bytes())
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    with pytest.raises(Exception, match=r'(?i)weights|magic|invalid'):
        CheckpointLoader.load_checkpoint('https://nowhere.invalid/x.pth')
    assert not mark.exists()
    torch.save({'state_dict': {'a': torch.ones(2)}}, folder / 'y.pth')
    read = CheckpointLoader.load_checkpoint('https://nowhere.invalid/y.pth')
    assert torch.equal(read['state_dict']['a'], torch.ones(2))


def test_plain_ones_are_read_as_before(tmp_path):
    path = tmp_path / 'good.pth'
    torch.save({'state_dict': {'weight': torch.full((1, 1), 3.0), 'bias': torch.zeros(1)}}, path)
    layer = nn.Linear(1, 1)
    load_checkpoint(layer, str(path))
    assert layer.weight.item() == 3
    with pytest.raises(FileNotFoundError, match='can not be found'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'none.pth'))


def test_applied_twice_is_applied_once():
    before = checkpoint.load_url
    checkpoints_read_safely()
    assert checkpoint.load_url.func is before.func and not hasattr(before.func, 'func')
