# SSD300 on VGG-16 for COCO 2017: mmdet's ssd/ssd300_coco.py (120 epochs) of this package's parts.
_base_ = [
    '../_base_/models/ssd300_vgg16.py',
    '../_base_/datasets/coco_ssd300.py',
    'mmdet::_base_/schedules/schedule_2x.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(num_classes={{_base_.num_classes}}))
optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=5e-4))
auto_scale_lr = dict(base_batch_size=64)
