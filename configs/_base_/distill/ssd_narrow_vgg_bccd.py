# The teacher of the SSD students on blood cells.
_base_ = './mimic.py'

mimic = dict(
    teacher=dict(
        config='configs/ssd/ssd_narrow_vgg_bccd.py',
        checkpoint='work_dirs/ssd_narrow_vgg_bccd/epoch_30.pth',
    )
)
