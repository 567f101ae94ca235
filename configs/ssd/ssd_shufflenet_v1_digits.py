# SSD on ShuffleNet v1 0.5 x for the built-in digits at 160x160, from scratch, on a CPU.
_base_ = './ssd_mobilenet_v1_digits.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet_lcp.ShuffleNetV1',
        groups=3,
        width_mult=0.5,
        out_stages=(2, 3),
    ),
    neck=dict(in_channels=(120, 240), out_channels=(120, 240, 64)),
    bbox_head=dict(in_channels=(120, 240, 64)),
)
optim_wrapper = dict(optimizer=dict(lr=0.06))
