# SSD on half-width MobileNet v1 for small data and for CPUs: the levels and default boxes of the
# narrow VGG, at strides 8, 16, 32 and 64.
_base_ = './ssd_narrow_vgg.py'

model = dict(
    backbone=dict(_delete_=True, type='mmdet_lcp.MobileNetV1', width_mult=0.5, out_stages=(3, 4)),
    neck=dict(in_channels=(128, 256), out_channels=(128, 256, 128, 64)),
    bbox_head=dict(in_channels=(128, 256, 128, 64)),
)
