"""The detectors of the support table: found, built from nothing, with weights that matter."""

import copy

import pytest
import torch
from mmdet.models.necks.ssd_neck import L2Norm
from mmengine.config import Config, ConfigDict
from torch import nn

from mmdet_lcp.coverage.detectors import (
    DETECTORS,
    REGIONS,
    SupportedDetector,
    build,
    check_language_model,
    few_regions,
    plain_model,
    randomise,
)
from mmdet_lcp.coverage.zoo import ZOO
from mmdet_lcp.errors import CompressionError


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


def test_a_teacher_is_not_fetched(tmp_path, monkeypatch):
    """mmdet's LD names it as if one stood in its checkout, LAD by an address."""
    monkeypatch.chdir(tmp_path)
    name = 'configs/gfl/gfl_r50_fpn_1x_coco.py'
    found = plain_model(dict(teacher_config=name, teacher_ckpt='https://somewhere/gfl.pth'))
    assert found['teacher_ckpt'] is None
    assert Config.fromfile(found['teacher_config']).model.type == 'GFL'
    assert plain_model(dict(teacher_config='mine.py')) == dict(teacher_config='mine.py')


def test_building_leaves_the_config_as_it_is():
    """mmdet's Mask2Former takes keys out of its own."""

    class Greedy(nn.Module):
        def __init__(self, head: dict) -> None:
            super().__init__()
            self.size = head.pop('size')

    cfg = Config(dict(model=dict(type=Greedy, head=dict(size=3))))
    assert build(cfg).size == 3
    assert cfg.model.head == dict(size=3)


def test_a_detector_whose_eval_returns_nothing():
    class Silent(nn.Linear):
        def eval(self) -> None:
            super().eval()

    detector = Silent(2, 2)
    assert randomise(detector) is detector


@pytest.mark.parametrize('family', ['glip', 'grounding_dino', 'mm_grounding_dino'])
def test_language_models_are_not_fetched(family):
    with pytest.raises(CompressionError, match=r'bert-base-uncased.*not fetched here'):
        ZOO[family].read()


def test_a_language_model_in_a_folder(tmp_path):
    model = ConfigDict(language_model=dict(name=str(tmp_path)))
    check_language_model(model)
    check_language_model(ConfigDict(type='ATSS'))


def test_a_config_without_a_model(tmp_path):
    path = tmp_path / 'data.py'
    path.write_text('data_root = "here"\n')
    with pytest.raises(CompressionError, match=r'data.py has no `model`'):
        SupportedDetector.of_file(str(path), 64).read()


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
