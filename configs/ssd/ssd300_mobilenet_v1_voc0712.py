# SSD300 on MobileNet v1 for Pascal VOC 07+12, with the schedule of the VGG-16 detector.
_base_ = [
    '../_base_/models/ssd300_mobilenet_v1.py',
    '../_base_/datasets/voc0712_ssd300.py',
    'mmdet::_base_/schedules/schedule_2x.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(num_classes={{_base_.num_classes}}))
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=4e-5))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=24, by_epoch=True, milestones=[16, 20], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=64)
