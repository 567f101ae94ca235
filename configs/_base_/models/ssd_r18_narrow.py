# The narrow SSD on a quarter-width ResNet-18: residual additions tie its channels together.
_base_ = './ssd_narrow_vgg.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        base_channels=16,
        num_stages=4,
        strides=(1, 2, 2, 1),
        out_indices=(1, 3),
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
    ),
    neck=dict(in_channels=(32, 128), out_channels=(32, 128, 128, 64)),
    bbox_head=dict(in_channels=(32, 128, 128, 64)),
)
