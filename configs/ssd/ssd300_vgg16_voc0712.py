# SSD300 on VGG-16 for Pascal VOC 07+12: mmdet's pascal_voc/ssd300_voc0712.py (10 x 24 epochs) from
# this package's parts.
_base_ = [
    '../_base_/models/ssd300_vgg16.py',
    '../_base_/datasets/voc0712_ssd300.py',
    'mmdet::_base_/schedules/schedule_2x.py',
    '../_base_/default_runtime.py',
]

model = dict(
    bbox_head=dict(
        num_classes={{_base_.num_classes}},
        anchor_generator=dict(basesize_ratio_range=(0.2, 0.9)),
    )
)
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=24, by_epoch=True, milestones=[16, 20], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=64)
