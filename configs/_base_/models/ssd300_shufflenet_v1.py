# SSD300 on ShuffleNet v1 with 3 groups (Zhang et al., CVPR 2018): stages 3 and 4, the extra levels
# and heads of SSD300 on MobileNet v1.
_base_ = './ssd300_mobilenet_v1.py'

model = dict(
    backbone=dict(_delete_=True, type='mmdet_lcp.ShuffleNetV1', groups=3, out_stages=(3, 4)),
    neck=dict(in_channels=(480, 960), out_channels=(480, 960, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(480, 960, 512, 256, 256, 128)),
)
