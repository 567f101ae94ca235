# The student of faster_rcnn_quarter_width_bccd_scratch with faster_rcnn_r18_narrow_bccd as
# its teacher: stage 1.
_base_ = ['./faster_rcnn_quarter_width_bccd_scratch.py', '../_base_/distill/mimic.py']

mimic = dict(
    teacher=dict(
        config='configs/faster_rcnn/faster_rcnn_r18_narrow_bccd.py',
        checkpoint='work_dirs/faster_rcnn_r18_narrow_bccd/epoch_20.pth',
    )
)
