# A student: Faster R-CNN at half of the width of faster_rcnn_r18_narrow_bccd, without a
# teacher.
_base_ = '../faster_rcnn/faster_rcnn_r18_narrow_bccd.py'

model = dict(
    backbone=dict(base_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=24),
    rpn_head=dict(in_channels=24, feat_channels=24),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=24),
        bbox_head=dict(in_channels=24, fc_out_channels=128),
    ),
)
