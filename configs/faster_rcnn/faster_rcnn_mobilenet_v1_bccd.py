# Faster R-CNN on a quarter-width MobileNet v1 with FPN for blood cells at 192x192, from scratch,
# on a CPU; all else as on the narrow ResNet-18.
_base_ = './faster_rcnn_r18_narrow_bccd.py'

model = dict(
    backbone=dict(
        _delete_=True, type='mmdet_lcp.MobileNetV1', width_mult=0.25, out_stages=(2, 3, 4, 5)
    ),
    neck=dict(in_channels=[32, 64, 128, 256]),
)
