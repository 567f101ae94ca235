# SSD on half-width MobileNet v1 for the built-in digits at 160x160, from scratch, on a CPU.
_base_ = './ssd_narrow_vgg_digits.py'

model = dict(
    backbone=dict(_delete_=True, type='mmdet_lcp.MobileNetV1', width_mult=0.5, out_stages=(3, 4)),
    neck=dict(in_channels=(128, 256), out_channels=(128, 256, 64)),
    bbox_head=dict(in_channels=(128, 256, 64)),
)
# After the narrow VGG's 8 epochs compact backbones are far from converged.
train_cfg = dict(max_epochs=16, val_interval=8)
optim_wrapper = dict(optimizer=dict(lr=0.2))
warm_up, cosine = _base_.param_scheduler
param_scheduler = [warm_up, {**cosine, 'end': 16, 'T_max': 16}]
del warm_up, cosine
