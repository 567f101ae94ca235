# SSD300 on MobileNet v1 for COCO 2017, with the schedule of the ResNet-50 detector. Start it from
# ImageNet weights where there are some: model.backbone.init_cfg.
_base_ = [
    '../_base_/models/ssd300_mobilenet_v1.py',
    '../_base_/datasets/coco_ssd300.py',
    'mmdet::_base_/schedules/schedule_2x.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(num_classes={{_base_.num_classes}}))
train_dataloader = dict(batch_size=32)
train_cfg = dict(max_epochs=13)
optim_wrapper = dict(
    optimizer=dict(lr=2.6e-3, weight_decay=4e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=13, by_epoch=True, milestones=[9, 11], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=32)
