"""The detectors of the support table: found, built from nothing, with weights that matter."""

import copy

import pytest
import torch
from mmdet.models.necks.ssd_neck import L2Norm
from torch import nn

from mmdet_lcp.coverage.detectors import (
    DETECTORS,
    REGIONS,
    SupportedDetector,
    few_regions,
    plain_model,
    randomise,
)


def test_keys():
    keys = [detector.key for detector in DETECTORS]
    assert len(set(keys)) == len(keys)
    assert SupportedDetector('Faster R-CNN (R50, FPN)', '', 64).key == 'faster-r-cnn-r50-fpn'
    assert SupportedDetector.of_file('my/own_ssd.py', 96).key == 'own-ssd'


@pytest.mark.parametrize('detector', DETECTORS, ids=lambda detector: detector.key)
def test_configs_are_there(detector):
    model = detector.read().model
    assert 'init_cfg' not in str(model)
    assert model.data_preprocessor


def test_plain_model(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    init = dict(type='Pretrained', checkpoint='https://somewhere')
    heads = [dict(init_cfg=init, norm_cfg=dict(type='SyncBN'))]
    model = dict(type='A', init_cfg=init, heads=heads, n=(1, 2))
    before = copy.deepcopy(model)
    assert plain_model(model) == dict(type='A', heads=[dict(norm_cfg=dict(type='BN'))], n=(1, 2))
    assert model == before


def test_few_regions():
    stage = dict(sampler=dict(num=512))
    many = dict(train_cfg=dict(rcnn=[copy.deepcopy(stage), dict(sampler=dict(num=4)), {}]))
    assert few_regions(many)['train_cfg']['rcnn'] == [
        dict(sampler=dict(num=REGIONS)),
        dict(sampler=dict(num=4)),
        {},
    ]
    assert few_regions(dict(train_cfg=dict(rcnn=stage)))['train_cfg']['rcnn'] == dict(
        sampler=dict(num=REGIONS)
    )
    assert few_regions(dict(type='SSD')) == dict(type='SSD')


def deep() -> nn.Sequential:
    layers = [nn.Conv2d(8, 64, 3)]
    for _ in range(8):
        layers += [nn.ReLU(), nn.Conv2d(64, 64, 3), nn.GroupNorm(4, 64)]
    return nn.Sequential(*layers, L2Norm(64), nn.BatchNorm2d(64)).train()


def test_every_weight_matters_and_activations_stay_of_order_one():
    torch.manual_seed(0)
    model = deep()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert randomise(model, seed=3) is model
    assert not model.training
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            assert (tensor != before[name]).any() and tensor.abs().max() > 0.05, name
    with torch.no_grad():
        outputs = model[:-2](torch.randn(2, 8, 24, 24))
    assert 0.1 < outputs.std() < 10


def test_the_seed_alone_decides():
    one, two, other = (randomise(deep(), seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one['0.weight'], other['0.weight'])
