# SSD on ShuffleNet v1 0.5 x, 3 groups, for small data and for CPUs: the levels and default boxes
# of the narrow VGG, at strides 8, 16, 32 and 64.
_base_ = './ssd_narrow_vgg.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet_lcp.ShuffleNetV1',
        groups=3,
        width_mult=0.5,
        out_stages=(2, 3),
    ),
    neck=dict(in_channels=(120, 240), out_channels=(120, 240, 128, 64)),
    bbox_head=dict(in_channels=(120, 240, 128, 64)),
)
