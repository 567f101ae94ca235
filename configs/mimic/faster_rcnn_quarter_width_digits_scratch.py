# A student: Faster R-CNN at a quarter of the width of faster_rcnn_r18_narrow_digits, without a
# teacher.
_base_ = '../faster_rcnn/faster_rcnn_r18_narrow_digits.py'

model = dict(
    backbone=dict(base_channels=4),
    neck=dict(in_channels=[4, 8, 16, 32], out_channels=12),
    rpn_head=dict(in_channels=12, feat_channels=12),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=12),
        bbox_head=dict(in_channels=12, fc_out_channels=64),
    ),
)
