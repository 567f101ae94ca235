# The teacher of the Faster R-CNN students on the built-in digits.
_base_ = './mimic.py'

mimic = dict(
    teacher=dict(
        config='configs/faster_rcnn/faster_rcnn_r18_narrow_digits.py',
        checkpoint='work_dirs/faster_rcnn_r18_narrow_digits/epoch_16.pth',
    )
)
