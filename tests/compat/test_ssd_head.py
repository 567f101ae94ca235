"""SSD predicts."""

import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn


def ssd_head(num_classes: int = 2):
    from mmdet.models.dense_heads import SSDHead

    return SSDHead(
        num_classes=num_classes,
        in_channels=(8,),
        anchor_generator=dict(
            type='mmdet.SSDAnchorGenerator',
            scale_major=False,
            strides=[16],
            ratios=[[2]],
            min_sizes=[20],
            max_sizes=[40],
        ),
        bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder', target_stds=(0.1, 0.1, 0.2, 0.2)),
        test_cfg=ConfigDict(
            nms_pre=100, nms=dict(type='nms', iou_threshold=0.99), score_thr=0.0, max_per_img=100
        ),
    )


def test_ssd_scores_are_the_softmax_without_background():
    head = ssd_head()
    cells, priors, classes = 2 * 2, 4, 3
    torch.manual_seed(0)
    logits = torch.randn(1, priors * classes, 2, 2)
    deltas = torch.zeros(1, priors * 4, 2, 2)
    meta = dict(img_shape=(1000, 1000), scale_factor=(1.0, 1.0))
    (found,) = head.predict_by_feat([logits], [deltas], batch_img_metas=[meta], rescale=False)

    flat = logits[0].permute(1, 2, 0).reshape(cells * priors, classes)
    expected = flat.softmax(-1)[:, :-1]  # the last class is background
    anchors = head.prior_generator.grid_priors([(2, 2)], device='cpu')[0].clamp(0, 1000)
    for label in (0, 1):
        mine = found.labels == label
        for box, score in zip(found.bboxes[mine], found.scores[mine], strict=True):
            nearest = (anchors - box).abs().sum(1).argmin()  # zero deltas: a box is its anchor
            assert torch.allclose(anchors[nearest], box, atol=1e-4)
            assert score.item() == pytest.approx(expected[nearest, label].item(), abs=1e-6)
    assert len(found) == cells * priors * 2


def test_ssd_subclass_may_still_have_a_loss_module():
    from mmdet.models.dense_heads import SSDHead

    class Mine(SSDHead):
        def __init__(self):
            super().__init__(
                in_channels=(8,),
                anchor_generator=dict(
                    type='mmdet.SSDAnchorGenerator',
                    strides=[16],
                    ratios=[[2]],
                    min_sizes=[20],
                    max_sizes=[40],
                ),
                bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder'),
            )
            self.loss_cls = nn.CrossEntropyLoss()

    assert isinstance(Mine().loss_cls, nn.CrossEntropyLoss)
    assert ssd_head().loss_cls is None
    assert not [k for k in ssd_head().state_dict() if 'loss' in k]
