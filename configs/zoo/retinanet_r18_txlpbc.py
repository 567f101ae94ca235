# RetinaNet on a half-width ResNet-18, from scratch, for txlpbc at 192x192, on a CPU.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    '../_base_/datasets/txlpbc.py',
    '../_base_/schedules/adamw_small.py',
]

model = dict(
    backbone=dict(
        depth=18,
        base_channels=32,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=96, norm_cfg=dict(type='BN')),
    bbox_head=dict(
        num_classes={{_base_.num_classes}},
        in_channels=96,
        feat_channels=96,
        stacked_convs=2,
        anchor_generator=dict(octave_base_scale=2),
    ),
)
