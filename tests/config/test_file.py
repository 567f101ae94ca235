import sys

import pytest

from mmdet_lcp.config.file import read_config
from mmdet_lcp.errors import CompressionError


def test_changes_by_dotted_key(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('a = dict(b=1, c=[1, 2])\n')
    cfg = read_config(str(path), {'a.b': 5, 'd.e': 'new'})
    assert cfg.a.b == 5 and cfg.a.c == [1, 2] and cfg.d.e == 'new'


def test_a_config_of_a_package():
    cfg = read_config('mmdet_lcp::_base_/pruning/lcp_exact.py')
    assert cfg.runner_type == 'mmdet_lcp.PruningRunner'
    assert read_config('mmdet::ssd/ssd300_coco.py').model.type == 'SingleStageDetector'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a = (', 'cannot be read'),
        ('a = b\n', "cannot be read: name 'b' is not defined"),
        ("_base_ = 'missing.py'\n", r'cannot be read.*missing\.py'),
        (
            "custom_imports = dict(imports='no_such_module')\n",
            r'no_such_module.*PYTHONPATH=\.',
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path, text, message):
    path = tmp_path / 'config.py'
    path.write_text(text)
    with pytest.raises(CompressionError, match=message) as raised:
        read_config(str(path))
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    'path',
    [
        'nowhere.py',
        'mmdet::nowhere.py',
        'mmdet::ssd/nowhere.py',
        'mmdet_lcp::lcp/nowhere.py',
        'no_such_package::ssd/nowhere.py',
        'json::ssd/nowhere.py',
    ],
)
def test_no_such_file(path):
    with pytest.raises(CompressionError, match=f'^{path}: there is no such config') as raised:
        read_config(path)
    assert ('as in `_base_`' in str(raised.value)) == ('::' in path)


def test_a_checkpoint_in_the_place_of_the_config(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    path.touch()
    with pytest.raises(CompressionError, match=f'^{path} is a checkpoint: the config comes first'):
        read_config(str(path))


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    path = tmp_path / 'config.py'
    path.write_text("custom_imports = dict(imports=['mmpretrain.models'])\n")
    monkeypatch.setitem(sys.modules, 'mmpretrain', None)  # as if it were not
    with pytest.raises(CompressionError, match=r'package mmpretrain.*pip install mmpretrain'):
        read_config(str(path))
