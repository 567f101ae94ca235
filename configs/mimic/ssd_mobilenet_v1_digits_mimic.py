# The student of ssd_mobilenet_v1_digits_scratch with ssd_narrow_vgg_digits as its teacher.
_base_ = ['./ssd_mobilenet_v1_digits_scratch.py', '../_base_/distill/mimic.py']

mimic = dict(
    teacher=dict(
        config='configs/ssd/ssd_narrow_vgg_digits.py',
        checkpoint='work_dirs/ssd_narrow_vgg_digits/epoch_8.pth',
    )
)
