"""A detector and data so small that a whole pruning run takes seconds."""

from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

import mmdet_lcp  # noqa: F401
from mmdet_lcp.datasets import generate_digits

register_all_modules()

ROOT = Path(__file__).parents[1]
SIZE = 64

TEMPLATE = """
_base_ = [
    '{root}/configs/ssd/ssd_narrow_vgg_digits.py',
    '{root}/configs/_base_/pruning/lcp.py',
]
randomness = dict(seed=0)
work_dir = {work_dir!r}
load_from = {dense!r}
data_root = {data!r}

def resized(pipeline):
    return [dict(step, scale=({size}, {size})) if step['type'] == 'Resize' else step
            for step in pipeline]

train_pipeline = resized(_base_.train_pipeline)
test_pipeline = resized(_base_.test_pipeline)
del resized
model = dict(
    backbone=dict(width_mult=0.125, out_stages=(3, 4)),
    neck=dict(_delete_=True, type='SSDNeck', in_channels=(32, 64), out_channels=(32, 64, 32),
              level_strides=(2,), level_paddings=(1,), l2_norm_scale=None,
              norm_cfg=dict(type='BN')),
    bbox_head=dict(in_channels=(32, 64, 32), anchor_generator=dict(
        strides=[4, 8, 16], ratios=[[2], [2], [2]], min_sizes=[8, 16, 32], max_sizes=[16, 32, 56],
        input_size={size})),
)
train_dataloader = dict(batch_size=2, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(batch_size=2, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(batch_size=2, dataset=dict(data_root=data_root, pipeline=test_pipeline))
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = dict(ann_file=data_root + 'annotations/test.json')
default_hooks = dict(logger=dict(interval=1))
pruning = dict(
    layers=r'stage[34]\\.[01]\\.conv',
    update=dict(_delete_=True, type='mmdet_lcp.ExactUpdate'),
    selection=dict(num_images=4),
    finetune=dict(max_epochs=1, max_iters=None, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=2, lr=0.001, param_scheduler=[
        dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)]),
    evaluate=(),
)
"""

# In the place of the SSD: changes of `extra`, for a folder (and a dense checkpoint) of its own.
FASTER_RCNN = r"""
NMS = dict(nms_pre=40, max_per_img=30, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)
ASSIGNER = dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0)
CODER = dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2])

def drawn(number, **keys):
    return dict(assigner=ASSIGNER, sampler=dict(
        type='RandomSampler', num=number, pos_fraction=0.5, **keys),
        allowed_border=-1, pos_weight=-1)

model = dict(_delete_=True, type='FasterRCNN',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(type='ResNet', depth=18, base_channels=8, out_indices=(1, 2, 3),
                  norm_eval=False, style='pytorch'),
    neck=dict(type='FPN', in_channels=[16, 32, 64], out_channels=16, num_outs=3),
    rpn_head=dict(type='RPNHead', in_channels=16, feat_channels=16,
        anchor_generator=dict(type='AnchorGenerator', scales=[2], ratios=[1.0, 1.6],
                              strides=[8, 16, 32]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder')),
    roi_head=dict(type='StandardRoIHead',
        bbox_roi_extractor=dict(type='SingleRoIExtractor', out_channels=16,
            roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=1),
            featmap_strides=[8, 16, 32]),
        bbox_head=dict(type='Shared2FCBBoxHead', in_channels=16, fc_out_channels=24,
                       roi_feat_size=3, num_classes=10, bbox_coder=CODER)),
    train_cfg=dict(rpn=drawn(32, add_gt_as_proposals=False), rpn_proposal=NMS, rcnn=drawn(16)),
    test_cfg=dict(rpn=NMS, rcnn=dict(NMS, score_thr=0.0)),
)
del NMS, ASSIGNER, CODER, drawn
pruning.update(layers=r'backbone\.layer[34]\.1\.conv1')
"""
FCOS = r"""
model = dict(_delete_=True, type='FCOS',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(type='ResNet', depth=18, base_channels=8, out_indices=(1, 2, 3),
                  norm_eval=False, style='pytorch'),
    neck=dict(type='FPN', in_channels=[16, 32, 64], out_channels=16, num_outs=3),
    bbox_head=dict(type='FCOSHead', num_classes=10, in_channels=16, feat_channels=16,
        stacked_convs=1, strides=[8, 16, 32], norm_cfg=None,
        regress_ranges=((-1, 24), (24, 40), (40, 1e8))),
    test_cfg=dict(nms_pre=100, min_bbox_size=0, score_thr=0.0, max_per_img=20,
                  nms=dict(type='nms', iou_threshold=0.5)),
)
pruning.update(layers=r'backbone\.layer[34]\.1\.conv1')
"""


def make_data(folder: Path) -> Path:
    """Digits at 64 pixels: 6 training, 2 validation and 4 test images."""
    generate_digits(folder, image_size=SIZE, sizes={'train': 6, 'val': 2, 'test': 4})
    return folder


def make_config(folder: Path, data: Path, name: str = 'tiny', extra: str = '') -> Path:
    """Write a pruning config and a dense checkpoint with random weights; return the config."""
    folder.mkdir(parents=True, exist_ok=True)
    dense = folder / 'dense.pth'
    path = folder / f'{name}.py'
    text = TEMPLATE.format(
        root=ROOT,
        work_dir=str(folder / f'{name}_out'),
        dense=str(dense),
        data=f'{data}/',
        size=SIZE,
    )
    path.write_text(text + extra)
    if not dense.exists():
        torch.manual_seed(0)
        detector = MODELS.build(Config.fromfile(path).model)
        torch.save({'meta': {}, 'state_dict': detector.state_dict()}, dense)
    return path
