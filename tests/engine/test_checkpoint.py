"""Checkpoints are loaded strictly and without running code."""

import os
import pickle

import pytest
import torch
from torch import nn

from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.errors import CompressionError


class Detector(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
        self.head = nn.Linear(width, 2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'dense.pth'


def weights(width: int = 4):
    torch.manual_seed(width)
    return {
        k: torch.rand_like(v.float()).to(v.dtype) for k, v in Detector(width).state_dict().items()
    }


def values(detector):
    return {key: value.clone() for key, value in detector.state_dict().items()}


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('bare', [False, True])
def test_weights_arrive(path, prefix, bare):
    state = weights()
    saved = {f'{prefix}{key}': value for key, value in state.items()}
    torch.save(saved if bare else {'state_dict': saved, 'meta': {'epoch': 3}}, path)
    detector = Detector()
    meta = load_detector(detector, path)
    assert equal(values(detector), state)
    assert meta == ({} if bare else {'epoch': 3})
    torch.save({'state_dict': saved}, path)
    assert load_detector(detector, str(path)) == {}


def refused(path, *words):
    detector = Detector()
    before = values(detector)
    with pytest.raises(CompressionError) as error:
        load_detector(detector, path)
    assert str(path) in str(error.value)
    for word in words:
        assert word in str(error.value)
    assert equal(values(detector), before)  # nothing of it has been loaded
    return str(error.value)


def test_another_shape_names_the_layers(path):
    torch.save({'state_dict': weights(6)}, path)
    message = refused(
        path,
        'backbone.0.weight: (6, 3, 3, 3) in the file, (4, 3, 3, 3) in the detector',
        'backbone.0.bias: (6,) in the file, (4,) in the detector',
        '... and 2 more',  # of 2 + 4 + 1 layers that differ
        'Detector',
        'load_from',
    )
    assert message.count(' in the file, ') == 5


def test_missing_and_unexpected_layers(path):
    state = weights()
    del state['head.bias']
    torch.save({'state_dict': state}, path)
    refused(path, 'head.bias: not in the file')
    torch.save({'state_dict': weights() | {'neck.weight': torch.zeros(2)}}, path)
    refused(path, 'neck.weight: not in the detector')


def test_something_else_than_a_checkpoint(path, tmp_path):
    for content in ([1, 2], {}, {'state_dict': {}}, {'state_dict': 3}, {'state_dict': None},
                    {'state_dict': {1: torch.zeros(2)}}, {'head.bias': 3}):  # fmt: skip
        torch.save(content, path)
        refused(path, 'holds no state_dict')
    path.write_bytes(b'')
    refused(path)
    path.write_text('not a checkpoint')
    refused(path)
    refused(tmp_path / 'missing.pth', 'no such file')


@pytest.mark.parametrize('share', [0.1, 0.5, 0.9, 0.99])
def test_truncated(path, share):
    torch.save({'state_dict': weights()}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, 'cut short')


class Attack:
    def __init__(self, target) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize('way', ['zip', 'legacy', 'pickle'])
def test_code_in_a_checkpoint_is_not_run(path, tmp_path, way):
    target = tmp_path / 'executed'
    content = {'state_dict': weights(), 'meta': Attack(target)}
    if way == 'pickle':
        path.write_bytes(pickle.dumps(Attack(target)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=way == 'zip')
    refused(path, 'refused')
    assert not target.exists()
    if way == 'pickle':  # the attack is a real one
        pickle.loads(path.read_bytes())
        assert target.exists()


def test_a_module_that_the_file_has_under_two_names_is_read_once(path):
    """As DDQ's decoder gets its head's branches while it trains."""
    saved = weights()
    torch.save({**saved, 'decoder.0.weight': saved['backbone.0.weight'].clone()}, path)
    detector = Detector()
    load_detector(detector, path)
    assert equal(values(detector), saved)


def test_other_weights_under_such_a_name_are_refused(path):
    saved = weights()
    torch.save({**saved, 'decoder.0.weight': saved['backbone.0.weight'] + 1}, path)
    with pytest.raises(CompressionError, match=r'decoder\.0\.weight: not in the detector'):
        load_detector(Detector(), path)
