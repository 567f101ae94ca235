# Faster R-CNN with FPN on ShuffleNet v1 with 3 groups (Zhang et al., CVPR 2018): stages 1 to 4, at
# strides 4 to 32, in the place of ResNet-50's. Stage 1 is the max-pooling behind the first
# convolution.
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

model = dict(
    backbone=dict(_delete_=True, type='mmdet_lcp.ShuffleNetV1', groups=3, out_stages=(1, 2, 3, 4)),
    neck=dict(in_channels=[24, 240, 480, 960]),
)
