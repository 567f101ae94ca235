# SSD on half-width MobileNet v1 for the built-in digits at 160x160, from scratch, on a CPU.
_base_ = './ssd_narrow_vgg_digits.py'

model = dict(
    backbone=dict(_delete_=True, type='mmdet_lcp.MobileNetV1', width_mult=0.5, out_stages=(3, 4)),
    neck=dict(in_channels=(128, 256), out_channels=(128, 256, 64)),
    bbox_head=dict(in_channels=(128, 256, 64)),
)
# Compact backbones need more epochs and higher rates than the narrow VGG.
train_cfg = dict(max_epochs=16, val_interval=8)
optim_wrapper = dict(optimizer=dict(lr=0.2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=16,
        T_max=16,
        eta_min=1e-4,
        convert_to_iter_based=True,
    ),
]
