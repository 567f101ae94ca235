# Deformable DETR on a half-width ResNet-18 with two layers of encoder and decoder, from scratch,
# for txlpbc at 192x192, on a CPU.
_base_ = [
    '../_base_/datasets/txlpbc.py',
    '../_base_/schedules/adamw_small.py',
]

model = dict(
    type='DeformableDETR',
    num_queries=60,
    num_feature_levels=3,
    with_box_refine=True,
    as_two_stage=False,
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=32,
        num_stages=4,
        out_indices=(1, 2, 3),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
    ),
    neck=dict(
        type='ChannelMapper',
        in_channels=[64, 128, 256],
        kernel_size=1,
        out_channels=96,
        act_cfg=None,
        norm_cfg=dict(type='GN', num_groups=8),
        num_outs=3,
    ),
    encoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=96, num_levels=3, batch_first=True),
            ffn_cfg=dict(embed_dims=96, feedforward_channels=256, ffn_drop=0.0),
        ),
    ),
    decoder=dict(
        num_layers=2,
        return_intermediate=True,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=96, num_heads=8, dropout=0.0, batch_first=True),
            cross_attn_cfg=dict(embed_dims=96, num_levels=3, batch_first=True),
            ffn_cfg=dict(embed_dims=96, feedforward_channels=256, ffn_drop=0.0),
        ),
        post_norm_cfg=None,
    ),
    positional_encoding=dict(num_feats=48, normalize=True, offset=-0.5),
    bbox_head=dict(
        type='DeformableDETRHead',
        embed_dims=96,
        num_classes={{_base_.num_classes}},
        sync_cls_avg_factor=True,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=60),
)
