"""A tiny SSD, real in every part, and a batch for it."""

import mmdet.models  # noqa: F401  fills mmdet's registries
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

SIZE = 64


def ssd_config(**head):
    return ConfigDict(
        type='SingleStageDetector',
        backbone=dict(
            type='ResNet',
            depth=18,
            base_channels=8,
            num_stages=4,
            out_indices=(2, 3),
            style='pytorch',
        ),
        neck=dict(
            type='SSDNeck',
            in_channels=(32, 64),
            out_channels=(32, 64, 32),
            level_strides=(2,),
            level_paddings=(1,),
            l2_norm_scale=20,
        ),
        bbox_head=dict(
            type='SSDHead',
            in_channels=(32, 64, 32),
            num_classes=3,
            anchor_generator=dict(
                type='SSDAnchorGenerator',
                scale_major=False,
                input_size=SIZE,
                min_sizes=[12, 28, 44],
                max_sizes=[28, 44, 60],
                strides=[16, 32, 64],
                ratios=[[2], [2, 3], [2]],
            ),
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder',
                target_means=[0.0, 0.0, 0.0, 0.0],
                target_stds=[0.1, 0.1, 0.2, 0.2],
            ),
        )
        | head,
        train_cfg=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.0,
                ignore_iof_thr=-1,
                gt_max_assign_all=False,
            ),
            sampler=dict(type='PseudoSampler'),
            smoothl1_beta=1.0,
            allowed_border=-1,
            pos_weight=-1,
            neg_pos_ratio=3,
        ),
    )


@pytest.fixture
def ssd():
    torch.manual_seed(0)
    detector = MODELS.build(ssd_config())
    detector.init_weights()  # until then mmdet's L2Norm holds whatever the memory held
    return detector


@pytest.fixture
def batch():
    """Two images with objects and one without: images, instances, metas."""
    generator = torch.Generator().manual_seed(1)
    boxes = [
        [[4, 6, 30, 28], [20, 22, 60, 62], [33, 1, 47, 16]],
        [[10, 10, 50, 40], [1, 33, 15, 48]],
        [],
    ]
    labels = [[0, 1, 2], [1, 0], []]
    instances = [
        InstanceData(
            bboxes=torch.tensor(b, dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor(k, dtype=torch.long),
        )
        for b, k in zip(boxes, labels, strict=True)
    ]
    metas = [
        dict(img_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE), batch_input_shape=(SIZE, SIZE))
    ] * 3
    return torch.randn(3, 3, SIZE, SIZE, generator=generator), instances, metas
