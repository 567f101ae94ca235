# SSD300 on VGG-16 for blood cells at 300x300, from random weights: where no ImageNet weights are
# to be had. Without batch norm it learns slowly, hence the rate, the clipping and 80 epochs.
_base_ = './ssd300_vgg16_bccd.py'

model = dict(
    data_preprocessor=dict(std=[58.395, 57.12, 57.375]),
    backbone=dict(init_cfg=None),
)
train_cfg = dict(max_epochs=80)
optim_wrapper = dict(optimizer=dict(lr=3e-3), clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=80, milestones=[60, 74], gamma=0.1),
]
