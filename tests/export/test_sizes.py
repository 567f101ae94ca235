"""Bytes of weights, counted by hand."""

import copy
from pathlib import Path

from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmdet_lcp.export.sizes import dense_bytes, weight_bytes


def test_weights_count_once_and_buffers_too():
    layer = nn.Linear(3, 2, bias=False)  # 6 numbers of four bytes
    norm = nn.BatchNorm1d(2)  # weight, bias, mean, variance of 2; a count of eight bytes
    net = nn.Sequential(layer, norm, layer)
    assert weight_bytes(net) == 4 * (6 + 8) + 8


def test_the_dense_one_is_built_from_the_pruned_config():
    backbone = dict(type='ResNet', depth=18, base_channels=4, num_stages=1, out_indices=(0,))
    backbone.update(strides=(1,), dilations=(1,))
    model = dict(type='mmdet_lcp.PrunedDetector', detector='RPN', plan={}, backbone=backbone)
    head = dict(type='RPNHead', in_channels=4, feat_channels=4, num_classes=1)
    head['anchor_generator'] = dict(type='AnchorGenerator', scales=[8], ratios=[1.0], strides=[4])
    head['bbox_coder'] = dict(type='DeltaXYWHBBoxCoder')
    model.update(rpn_head=head, neck=None, train_cfg=None, own=dict(test_cfg=dict(rpn=None)))
    cfg = Config(dict(model=model))
    before = copy.deepcopy(cfg.model)
    numbers = 3 * 4 * 7 * 7 + 4 * (4 * 4 * 3 * 3)  # the stem, two blocks of two convolutions
    numbers += 5 * 4 * 4  # a batch norm behind each
    numbers += 4 * 4 * 3 * 3 + 4 + (1 + 4) * (4 + 1)  # the RPN
    assert dense_bytes(cfg) == 4 * numbers + 8 * 5  # and the counts of the norms
    assert cfg.model == before
    assert dense_bytes(Config(dict(model=dict(type='RPN')))) is None


def test_of_a_two_stage_detector_too():
    """It reads what its keys hold as attributes."""
    config = Path(__file__).parents[2] / 'configs/faster_rcnn/faster_rcnn_r18_narrow_txlpbc.py'
    cfg = Config.fromfile(config)
    dense = MODELS.build(copy.deepcopy(cfg.model))
    cfg.model = dict(cfg.model, type='mmdet_lcp.PrunedDetector', detector='FasterRCNN', plan={})
    assert dense_bytes(cfg) == weight_bytes(dense)
