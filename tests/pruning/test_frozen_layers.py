"""What the log says of frozen layers; that they stay frozen is seen in test_two_stage."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import MODELS

from mmdet_lcp.pruning.frozen_layers import frozen_layer_messages


def detector(**backbone):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='SingleStageDetector',
            backbone=dict(
                type='ResNet',
                depth=18,
                base_channels=8,
                out_indices=(2, 3),
                **{'norm_eval': False, **backbone},
            ),
            neck=dict(type='FPN', in_channels=[32, 64], out_channels=8, num_outs=2),
            bbox_head=dict(
                type='RetinaHead', num_classes=2, in_channels=8, feat_channels=32, stacked_convs=1
            ),
        )
    )


def stages(*paths):
    return [
        SimpleNamespace(group=SimpleNamespace(producers=[SimpleNamespace(path=path)]))
        for path in paths
    ]


BLOCKS = stages('backbone.layer1.0.conv1', 'backbone.layer2.0.conv1', 'backbone.layer2.1.conv1')


def messages(model, pruned=BLOCKS, statistics='best'):
    return frozen_layer_messages(model, pruned, statistics)


def test_nothing_to_say():
    assert messages(detector()) == []
    assert messages(detector(frozen_stages=0)) != []  # the stem alone, but its norm is fixed


def test_frozen_stages():
    model = detector(frozen_stages=1)
    layers, norms = messages(model)
    assert layers.startswith('1 of the 3 layers that lose channels are frozen')
    assert 'backbone.layer1.0.conv1' in layers
    assert '--cfg-options model.backbone.frozen_stages=-1' in layers
    # mmdet puts frozen stages into eval: the stem's norm and four of the first stage's
    assert norms.startswith('5 of 20 batch norms keep their running statistics')
    assert 'model.backbone.frozen_stages=-1' in norms
    # Where no frozen layer is pruned only the norms are told of.
    assert len(messages(model, BLOCKS[1:])) == 1


def test_frozen_scales():
    (said,) = messages(detector(norm_cfg=dict(type='BN', requires_grad=False)))
    assert said.startswith('20 of 20 batch norms have a frozen scale and shift')
    assert 'backbone.bn1' in said and 'and 16 more' in said
    assert '--cfg-options model.backbone.norm_cfg.requires_grad=True' in said


def test_frozen_scales_of_frozen_stages_are_told_of_once():
    both = detector(norm_cfg=dict(type='BN', requires_grad=False), frozen_stages=1)
    _, scales, _ = messages(both)
    assert scales.startswith('15 of 20')


@pytest.mark.parametrize(
    ('statistics', 'text'),
    [
        ('best', 'taken anew once before the retraining if that loses less'),
        ('recalibrate', 'are taken anew before the retraining'),
        ('keep', 'before pruning and stay'),
    ],
)
def test_norm_eval(statistics, text):
    (said,) = messages(detector(norm_eval=True), statistics=statistics)
    assert said.startswith('20 of 20 batch norms keep their running statistics')
    assert text in said
    assert '--cfg-options model.backbone.norm_eval=False' in said


def test_norms_of_a_shared_head_have_their_own_key():
    model = detector()
    model.roi_head = torch.nn.Module()
    model.roi_head.shared_head = MODELS.build(dict(type='ResLayer', depth=18, norm_eval=True))
    (said,) = messages(model)
    assert 'model.roi_head.shared_head.norm_eval=False' in said


def test_the_keys_do_what_they_promise():
    frozen = dict(norm_cfg=dict(type='BN', requires_grad=False), frozen_stages=1, norm_eval=True)
    assert len(messages(detector(**frozen))) == 3
    free = copy.deepcopy(frozen)
    free['norm_cfg']['requires_grad'] = True
    free.update(frozen_stages=-1, norm_eval=False)
    assert messages(detector(**free)) == []


def test_the_detector_is_left_as_it_was():
    model = detector(frozen_stages=1, norm_eval=True).eval()
    model.neck.train()
    before = {name: module.training for name, module in model.named_modules()}
    messages(model)
    assert {name: module.training for name, module in model.named_modules()} == before


def test_what_no_key_changes():
    model = detector()
    model.backbone.layer2[1].conv1.weight.requires_grad_(False)
    (said,) = messages(model)
    assert 'No key of the config is known to change that' in said
