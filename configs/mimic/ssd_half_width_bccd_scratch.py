# A student: SSD on VGG-16 at half of the width of ssd_narrow_vgg_bccd, without a teacher.
_base_ = '../ssd/ssd_narrow_vgg_bccd.py'

model = dict(
    backbone=dict(width_mult=0.125),
    neck=dict(in_channels=(64, 64), out_channels=(64, 64, 64, 32)),
    bbox_head=dict(in_channels=(64, 64, 64, 32)),
)
