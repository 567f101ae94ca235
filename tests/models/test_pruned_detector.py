"""Pruned detectors, rebuilt from their configs alone."""

import copy
import json

import pytest
import torch
from mmdet.models import SingleStageDetector
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict

import mmdet_lcp  # noqa: F401
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups
from mmdet_lcp.models.pruned_detector import pruned_model_cfg

register_all_modules()

SIZE = 64
PRETRAINED = dict(type='Pretrained', checkpoint='/no/such/file.pth')
MODEL = ConfigDict(
    type='SingleStageDetector',
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=1),
    backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=8,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(1, 2),
        init_cfg=PRETRAINED,
    ),
    neck=dict(
        type='SSDNeck',
        in_channels=(16, 32),
        out_channels=(16, 32, 16),
        level_strides=(2,),
        level_paddings=(1,),
        l2_norm_scale=20,
        norm_cfg=dict(type='BN'),
    ),
    bbox_head=dict(
        type='SSDHead',
        in_channels=(16, 32, 16),
        num_classes=3,
        anchor_generator=dict(
            type='SSDAnchorGenerator',
            scale_major=False,
            input_size=SIZE,
            min_sizes=[12, 28, 44],
            max_sizes=[28, 44, 60],
            strides=[8, 16, 32],
            ratios=[[2], [2], [2]],
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
    ),
)


@torch.no_grad()
def prune(detector, seed) -> Plan:
    """Half of each prunable group, at random; in place."""
    generator = torch.Generator().manual_seed(seed)
    groups = [g for g in find_groups(detector, (SIZE, SIZE)) if g.obstacle is None]
    totals, plan = axis_sizes(detector, groups), Plan()
    for group in groups:
        order = torch.randperm(group.channels, generator=generator)
        plan = plan.remove(group, order[: group.channels // 2].tolist(), totals)
    apply_plan(detector, plan)
    return plan


@torch.no_grad()
def outputs(detector):
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return [*detector.forward(image, mode='tensor')[0], *detector.forward(image, mode='tensor')[1]]


@pytest.fixture
def dense():
    torch.manual_seed(0)
    detector = MODELS.build(MODEL).eval()
    torch.nn.init.constant_(detector.neck.l2_norm.weight, 20)  # mmdet leaves it to init_weights
    return detector


def same(one, two) -> bool:
    pairs = zip(outputs(one), outputs(two), strict=True)
    return all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in pairs)


def test_rebuilt_from_the_config_and_the_weights(dense, tmp_path):
    pruned = copy.deepcopy(dense)
    plan = prune(pruned, seed=1)
    given = copy.deepcopy(MODEL)
    cfg = pruned_model_cfg(MODEL, plan)
    assert given == MODEL  # the config that it was made of is left alone
    assert cfg['type'] == 'mmdet_lcp.PrunedDetector'
    assert cfg['detector'] == 'SingleStageDetector'
    assert cfg['neck'] == MODEL.neck  # the detector's own keys, as they were

    torch.save(pruned.state_dict(), tmp_path / 'pruned.pth')
    again = MODELS.build(Config(dict(model=cfg)).model)
    assert type(again) is SingleStageDetector
    again.load_state_dict(torch.load(tmp_path / 'pruned.pth'), strict=True)
    again.eval()
    assert same(again, pruned)
    assert not same(again, dense)
    count = lambda detector: sum(p.numel() for p in detector.parameters())
    assert count(again) == count(pruned) < count(dense)


def test_pretty_text_parses_back(dense, tmp_path):
    plan = prune(copy.deepcopy(dense), seed=1)
    cfg = Config(dict(model=pruned_model_cfg(MODEL, plan)))
    (tmp_path / 'pruned_config.py').write_text(cfg.pretty_text)
    again = Config.fromfile(tmp_path / 'pruned_config.py').model
    assert Plan.from_dict(again.plan) == plan
    assert again == cfg.model
    assert Plan.from_dict(json.loads(json.dumps(again.plan))) == plan
    detector = MODELS.build(again)
    total = plan.modules['backbone.layer1.0.conv1']['out_channels']
    assert detector.backbone.layer1[0].conv1.out_channels == len(total.keep) == 4


def test_a_pruned_detector_is_pruned_again(dense):
    pruned = copy.deepcopy(dense)
    first = prune(pruned, seed=1)
    cfg = pruned_model_cfg(MODEL, first)
    rebuilt = MODELS.build(ConfigDict(cfg)).eval()
    rebuilt.load_state_dict(pruned.state_dict())
    second = prune(rebuilt, seed=2)

    again = pruned_model_cfg(cfg, second)
    assert again['detector'] == 'SingleStageDetector'
    assert Plan.from_dict(again['plan']) == first.then(second)
    final = MODELS.build(ConfigDict(again)).eval()
    final.load_state_dict(rebuilt.state_dict(), strict=True)
    assert same(final, rebuilt)
    assert final.backbone.layer1[0].conv1.out_channels == 2  # of 8
    # Both surgeries at once leave the dense detector's own values.
    both = apply_plan(copy.deepcopy(dense), Plan.from_dict(again['plan']))
    assert same(both, final)


@pytest.mark.parametrize(
    'init_cfg',
    [PRETRAINED, [dict(type='Kaiming', layer='Conv2d'), PRETRAINED]],
    ids=['alone', 'in a list'],
)
def test_weights_of_the_dense_detector_are_not_fetched(dense, init_cfg):
    plan = prune(copy.deepcopy(dense), seed=1)
    model = copy.deepcopy(MODEL)
    model.backbone.init_cfg = init_cfg
    with pytest.raises(FileNotFoundError):
        MODELS.build(model).init_weights()
    cfg = pruned_model_cfg(model, plan)
    assert 'Pretrained' not in json.dumps(cfg)
    MODELS.build(ConfigDict(cfg)).init_weights()
    # So even where the config still says it, by hand or through `pretrained=`.
    by_hand = dict(cfg, backbone=copy.deepcopy(model.backbone))
    detector = MODELS.build(ConfigDict(by_hand))
    detector.init_weights()
    assert all(torch.isfinite(p).all() for p in detector.parameters())


def one(path, total):
    return {'version': 1, 'modules': {path: {'out_channels': {'total': total, 'keep': [0]}}}}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            dict(detector='SingleStagDetector', plan={}),
            r"model\.detector='SingleStagDetector' is not",
        ),
        (dict(plan={}), "no 'modules'"),
        (dict(plan=one('neck.gone', 2)), r'SingleStageDetector: it has no module neck\.gone'),
        (
            dict(plan=one('backbone.conv1', 64)),
            r'expects 64 out_channels at backbone\.conv1, the detector has 8',
        ),
    ],
)
def test_what_does_not_fit(change, message):
    keys = {k: v for k, v in MODEL.items() if k != 'type'}
    cfg = dict(type='mmdet_lcp.PrunedDetector', detector='SingleStageDetector', **keys) | change
    with pytest.raises(CompressionError, match=message):
        MODELS.build(ConfigDict(cfg))


def test_a_key_of_the_detectors_own_called_detector():
    """Such as a semi-supervised one's; it comes back under its name."""
    taken = []

    @MODELS.register_module(name='OfADetector', force=True)
    def of_a_detector(**keys):
        taken.append(keys)
        return torch.nn.Conv2d(3, 4, 1)

    model = dict(type='OfADetector', detector=dict(depth=18), inputs=3, backbone=dict(a=1))
    cfg = pruned_model_cfg(model, Plan())
    assert cfg['detector'] == 'OfADetector' and cfg['backbone'] == dict(a=1)
    again = pruned_model_cfg(cfg, Plan())
    for each in (cfg, again):
        MODELS.build(each)
        assert taken.pop() == dict(detector=dict(depth=18), inputs=3, backbone=dict(a=1))
