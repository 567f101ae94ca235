# NVIDIA's schedule of SSD on COCO: 65 epochs (13 of five passes each), /10 at 43 and 54 (here 45
# and 55), 2.6e-3 for 32 images; neither batch norms nor biases decay.
_base_ = 'mmdet::_base_/schedules/schedule_2x.py'

train_cfg = dict(max_epochs=13)
optim_wrapper = dict(
    optimizer=dict(lr=2.6e-3, weight_decay=5e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=13, by_epoch=True, milestones=[9, 11], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=32)
