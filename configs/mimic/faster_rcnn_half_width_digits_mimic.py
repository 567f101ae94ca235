# The student of faster_rcnn_half_width_digits_scratch with faster_rcnn_r18_narrow_digits as
# its teacher: stage 1.
_base_ = ['./faster_rcnn_half_width_digits_scratch.py', '../_base_/distill/mimic.py']

mimic = dict(
    teacher=dict(
        config='configs/faster_rcnn/faster_rcnn_r18_narrow_digits.py',
        checkpoint='work_dirs/faster_rcnn_r18_narrow_digits/epoch_16.pth',
    )
)
