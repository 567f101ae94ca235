# Faster R-CNN on ShuffleNet v1 0.5 x with FPN for blood cells at 192x192, from scratch, on a CPU;
# all else as on the narrow ResNet-18.
_base_ = './faster_rcnn_r18_narrow_bccd.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet_lcp.ShuffleNetV1',
        groups=3,
        width_mult=0.5,
        out_stages=(1, 2, 3, 4),
    ),
    neck=dict(in_channels=[12, 120, 240, 480]),
)
