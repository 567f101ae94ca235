# Faster R-CNN with FPN on MobileNet v1 (Howard et al., 2017): stages 2 to 5, at strides 4 to 32,
# in the place of ResNet-50's. The paper has the detector of 2015, on one map; mmdet's FPN is ours.
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

model = dict(
    backbone=dict(_delete_=True, type='mmdet_lcp.MobileNetV1', out_stages=(2, 3, 4, 5)),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
