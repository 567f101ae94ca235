# The teacher of the SSD students on the built-in digits.
_base_ = './mimic.py'

mimic = dict(
    teacher=dict(
        config='configs/ssd/ssd_narrow_vgg_digits.py',
        checkpoint='work_dirs/ssd_narrow_vgg_digits/epoch_8.pth',
    )
)
