"""A small SSD, and ten images that carry their number."""

import random
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.selection.config import SelectionConfig

register_all_modules()

SIZE = 64
NARROW = Path(__file__).parents[1] / 'configs' / '_base_' / 'models' / 'ssd_narrow_vgg.py'
TRAIN_CFG = Config.fromfile(NARROW).model.train_cfg
MODEL = ConfigDict(
    type='SingleStageDetector',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[100.0] * 3, std=[50.0] * 3, bgr_to_rgb=True
    ),
    backbone=dict(type='mmdet_lcp.NarrowVGG', width_mult=0.125, out_stages=(3, 4)),
    neck=dict(
        type='SSDNeck',
        in_channels=(32, 64),
        out_channels=(32, 64, 32),
        level_strides=(2,),
        level_paddings=(1,),
        l2_norm_scale=None,
        norm_cfg=dict(type='BN'),
    ),
    bbox_head=dict(
        type='SSDHead',
        in_channels=(32, 64, 32),
        num_classes=3,
        anchor_generator=dict(
            type='SSDAnchorGenerator',
            scale_major=False,
            input_size=SIZE,
            min_sizes=[8, 16, 32],
            max_sizes=[16, 32, 56],
            strides=[4, 8, 16],
            ratios=[[2], [2], [2]],
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
    ),
    train_cfg=TRAIN_CFG,
)


class Images:
    """Ten images; each carries its number, and an augmentation out of three generators."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        image = torch.full((3, SIZE, SIZE), 10 * index, dtype=torch.uint8)
        noise = int(random.random() * 3) + np.random.randint(3) + int(torch.randint(3, ()))
        image[:, :8] += noise
        sample = DetDataSample(metainfo=dict(img_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE)))
        box = [4.0 + index, 6, 30 + index, 40]
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([box]), labels=torch.tensor([index % 3])
        )
        return dict(inputs=image, data_samples=sample)


def build() -> nn.Module:
    """The detector, in eval mode, with batch norms that do something."""
    torch.manual_seed(0)
    detector = MODELS.build(MODEL)
    detector.init_weights()
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
    return detector.eval().requires_grad_(False)


def draw(dense, seed=0, sampler=None, **config) -> SelectionSet:
    return SelectionSet.draw(
        Images(), dense, SelectionConfig(**config), batch_size=4, seed=seed, sampler=sampler
    )
