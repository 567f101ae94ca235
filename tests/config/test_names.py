import functools

import mmcv.ops
import mmdet.datasets.transforms
import mmdet.models
import pytest
import torch
from mmcv.transforms import LoadAnnotations
from mmengine.config import Config
from mmengine.config.lazy import LazyObject
from mmengine.model import PretrainedInit

from mmdet_lcp.config.names import named_config, names_in, object_named
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import LCP
from mmdet_lcp.pruning.runner import PruningRunner


@pytest.mark.parametrize(
    ('item', 'name'),
    [
        (mmdet.models.ResNet, 'ResNet'),
        (torch.nn.BatchNorm2d, 'BN'),
        (torch.optim.SGD, 'SGD'),
        (PretrainedInit, 'Pretrained'),  # mmengine compares with this name
        (mmcv.ops.nms, 'nms'),  # mmcv evaluates it
        (mmcv.ops.soft_nms, 'soft_nms'),
        (mmcv.ops.RoIAlign, 'RoIAlign'),
        (mmdet.datasets.transforms.LoadAnnotations, 'LoadAnnotations'),
        (LoadAnnotations, 'mmengine.LoadAnnotations'),  # the short name is mmdet's
        (LCP, 'mmdet_lcp.LCP'),
        (PruningRunner, 'mmdet_lcp.PruningRunner'),
        (torch.float16, 'float16'),
        (LazyObject('torch', 'relu_'), 'torch.relu_'),  # it knows no module of its own
        (functools.lru_cache, 'functools.lru_cache'),  # no package that registers anything
        (LazyObject('mmdet.models', 'FPN'), 'FPN'),
    ],
)
def test_name_of(item, name):
    assert names_in({'a': [{'type': item}], 'b': 1}) == {'a': [{'type': name}], 'b': 1}


def test_without_mmdets_scope_names_say_it():
    assert names_in({'type': mmdet.models.ResNet}, 'mmengine') == {'type': 'mmdet.ResNet'}


@pytest.mark.parametrize('item', [lambda: 0, functools.partial(max, 1)], ids=['lambda', 'partial'])
def test_what_has_no_name_is_told(item):
    with pytest.raises(CompressionError, match=r'model\.act\[0\]\.type=.* cannot be written'):
        names_in({'model': {'act': [{'type': item}]}})


def test_what_cannot_be_imported_is_told():
    with pytest.raises(CompressionError, match=r'a\.type cannot be imported: .*nowhere'):
        names_in({'a': {'type': LazyObject('nowhere', 'X')}})


def test_a_config_of_names_is_left_as_it_is():
    cfg = Config(dict(a=dict(type='X', b=(1, 2.5, None, 'c')), default_scope=None))
    assert named_config(cfg) is cfg


def test_a_new_style_config(tmp_path):
    path = tmp_path / 'new.py'
    path.write_text(
        'from mmdet.models import ResNet\nfrom mmengine.config import read_base\n'
        'def deep(x): return x + 8\n'
        'default_scope = None\nmodel = dict(type=ResNet, depth=deep(10))\n'
    )
    cfg = named_config(Config.fromfile(path))
    assert cfg.to_dict() == dict(default_scope='mmdet', model=dict(type='ResNet', depth=18))
    assert (cfg.filename, named_config(cfg)) == (str(path), cfg)


@pytest.mark.parametrize('name', ['ResNet', 'no.where', 'mmdet.nowhere', '', 'a..b'])
def test_no_object(name):
    assert object_named(name) is None
