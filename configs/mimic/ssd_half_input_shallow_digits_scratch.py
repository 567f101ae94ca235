# ssd_half_input_digits_scratch without the deconvolution: conv3_3 and conv4_3 of an image of half
# the size have the grid that conv4_3 and conv5_3 have of the whole, so it ends a stage earlier.
_base_ = './ssd_half_input_digits_scratch.py'

model = dict(
    backbone=dict(_delete_=True, type='mmdet_lcp.NarrowVGG', width_mult=0.25, out_stages=(3, 4)),
    neck=dict(in_channels=(64, 128), out_channels=(64, 128, 64)),
    bbox_head=dict(in_channels=(64, 128, 64)),
)
