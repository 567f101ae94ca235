# Mask R-CNN on a half-width ResNet-18, from scratch, for txlpbc at 192x192, on a CPU. The data
# have no masks: `LoadAnnotations` wants polygons, and tools/dev/boxes_as_masks.py writes the boxes
# as such. That shows the mask branch at work, not how good masks are.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
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
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, norm_cfg=dict(type='BN')),
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=28),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes={{_base_.num_classes}}),
        mask_roi_extractor=dict(out_channels=64, finest_scale=28),
        mask_head=dict(
            num_convs=2,
            in_channels=64,
            conv_out_channels=64,
            num_classes={{_base_.num_classes}},
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=250),
        rcnn=dict(sampler=dict(num=128)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=150)),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale={{_base_.scale}}, keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale={{_base_.scale}}, keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
masks = 'annotations/boxes_as_masks_{}.json'
train_dataloader = dict(dataset=dict(ann_file=masks.format('train'), pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(ann_file=masks.format('val'), pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(ann_file=masks.format('test'), pipeline=test_pipeline))
# mmengine puts no value of a base into an expression: the folder is written out
val_evaluator = dict(ann_file='data/txlpbc/' + masks.format('val'), metric=['bbox', 'segm'])
test_evaluator = dict(ann_file='data/txlpbc/' + masks.format('test'), metric=['bbox', 'segm'])
