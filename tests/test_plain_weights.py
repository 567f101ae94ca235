"""Checkpoints read and written, against `torch.save` and `torch.load`."""

import pytest
import torch

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.plain_weights import read_weights, write_weights

WEIGHTS = {'a.weight': torch.arange(3.0), 'module.b': torch.zeros(2)}


@pytest.mark.parametrize(
    ('content', 'meta'),
    [
        (WEIGHTS, {}),
        ({'state_dict': WEIGHTS}, {}),
        ({'state_dict': WEIGHTS, 'meta': None}, {}),
        ({'state_dict': WEIGHTS, 'meta': {'epoch': 3}, 'optimizer': {}}, {'epoch': 3}),
    ],
)
def test_reading(tmp_path, content, meta):
    torch.save(content, tmp_path / 'file.pth')
    weights, found = read_weights(tmp_path / 'file.pth')
    assert list(weights) == ['a.weight', 'b'] and found == meta
    assert weights['a.weight'].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({}, 'holds no state_dict; name a checkpoint'),
        (torch.zeros(2), 'holds no state_dict; name a checkpoint'),
        ({'epoch': 1}, 'no state_dict, epoch is a int, not a tensor'),
        ({'state_dict': {1: torch.zeros(2)}}, 'no state_dict, 1 is'),
    ],
)
def test_no_weights(tmp_path, content, message):
    torch.save(content, tmp_path / 'file.pth')
    with pytest.raises(CompressionError, match=message):
        read_weights(tmp_path / 'file.pth')


def test_writing(tmp_path):
    write_weights(tmp_path / 'file.pth', WEIGHTS, {'dataset_meta': {'classes': ('a',)}})
    found = torch.load(tmp_path / 'file.pth', weights_only=True)
    assert list(found) == ['meta', 'state_dict']
    assert found['meta'] == {'dataset_meta': {'classes': ('a',)}}
    assert list(found['state_dict']) == list(WEIGHTS)
    assert all(torch.equal(found['state_dict'][name], WEIGHTS[name]) for name in WEIGHTS)
    assert [path.name for path in tmp_path.iterdir()] == ['file.pth']
