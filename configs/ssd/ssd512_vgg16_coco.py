# SSD512 on VGG-16 for COCO 2017: mmdet's ssd/ssd512_coco.py from this package's parts.
_base_ = [
    '../_base_/models/ssd512_vgg16.py',
    '../_base_/datasets/coco_ssd300.py',
    'mmdet::_base_/schedules/schedule_2x.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(num_classes={{_base_.num_classes}}))
optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=5e-4))
auto_scale_lr = dict(base_batch_size=64)

image_size = 512
scale = (image_size, image_size)
train_pipeline = [
    dict(step, scale=scale) if step['type'] == 'Resize' else step for step in _base_.train_pipeline
]
test_pipeline = [
    dict(step, scale=scale) if step['type'] == 'Resize' else step for step in _base_.test_pipeline
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
