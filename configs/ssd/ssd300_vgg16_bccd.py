# SSD300 on VGG-16 for blood cells at 300x300, from ImageNet weights (a GPU's work).
_base_ = [
    '../_base_/models/ssd300_vgg16.py',
    '../_base_/datasets/bccd.py',
    '../_base_/schedules/ssd_small.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(num_classes={{_base_.num_classes}}))
optim_wrapper = dict(optimizer=dict(lr=1e-3))

image_size = 300
scale = (image_size, image_size)
train_pipeline = [
    dict(step, scale=scale) if step['type'] == 'Resize' else step for step in _base_.train_pipeline
]
test_pipeline = [
    dict(step, scale=scale) if step['type'] == 'Resize' else step for step in _base_.test_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
