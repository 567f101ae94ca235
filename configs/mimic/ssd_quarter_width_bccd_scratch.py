# A student: SSD on VGG-16 at a quarter of the width of ssd_narrow_vgg_bccd, without a teacher.
_base_ = '../ssd/ssd_narrow_vgg_bccd.py'

model = dict(
    backbone=dict(width_mult=0.0625),
    neck=dict(in_channels=(32, 32), out_channels=(32, 32, 32, 16)),
    bbox_head=dict(in_channels=(32, 32, 32, 16)),
)
# Ten times the teacher's rate, at which so narrow a network ends far from converged.
optim_wrapper = dict(optimizer=dict(lr=0.1), clip_grad=dict(max_norm=10))
