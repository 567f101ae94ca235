"""Candidates of heads that predict as `BaseDenseHead`, against its own prediction without NMS."""

import pytest
import torch
from mmdet.models.dense_heads import FCOSHead, RetinaHead, YOLOXHead
from mmengine.config import ConfigDict
from torch import nn

from mmdet_lcp.export.postprocess.base_dense import BaseDensePostprocess

from .candidates import META, SIDES, SIZE, build_head, same_candidates

HEADS = {
    'softmax': dict(
        type='SSDHead', in_channels=(8, 8), num_classes=3,
        anchor_generator=dict(
            type='SSDAnchorGenerator', scale_major=False, input_size=SIZE, min_sizes=[8, 16],
            max_sizes=[16, 32], strides=[8, 16], ratios=[[2], [2]]),
        train_cfg=ConfigDict(
            assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5)),
    ),
    'sigmoid': dict(
        type='RetinaHead', num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1,
        anchor_generator=dict(
            type='AnchorGenerator', scales=[1.0], ratios=[1.0, 2.0], strides=[8, 16]),
    ),
    'with a factor': dict(
        type='FCOSHead', num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1,
        strides=[8, 16], regress_ranges=((-1, 32), (32, 1e8)), norm_cfg=None,
    ),
}  # fmt: skip


@pytest.fixture(params=HEADS, ids=str)
def head(request) -> nn.Module:
    keys = dict(HEADS[request.param])
    head = build_head(keys.pop('type'), **keys)
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.3)
    return head


def test_every_candidate_is_mmdets(head):
    maps = [torch.randn(1, 8, side, side) for side in SIDES]
    with torch.no_grad():
        outputs = head(maps)
        (expected,) = head.predict_by_feat(*outputs, batch_img_metas=[META], with_nms=False)
        boxes, scores = BaseDensePostprocess(head, (SIZE, SIZE)).decoded(outputs)
    assert scores.shape == (1, boxes.shape[1], 3)
    assert (scores > 0).all()
    same_candidates(boxes, scores, expected)


def test_which_heads_it_fits():
    """Those without a prediction of their own, of which YOLOX has one."""
    assert not any('predict_by_feat' in vars(kind) for kind in (RetinaHead, FCOSHead))
    for kind, fits in ((RetinaHead, True), (FCOSHead, True), (YOLOXHead, False)):
        assert BaseDensePostprocess.fits(kind.__new__(kind)) is fits

    class Own(RetinaHead):
        def _predict_by_feat_single(self, *args, **kwargs):
            return None

    assert not BaseDensePostprocess.fits(Own.__new__(Own))
    assert not BaseDensePostprocess.fits(nn.Identity())
