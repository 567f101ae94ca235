# The student of faster_rcnn_half_width_bccd_scratch with a teacher: stage 1.
_base_ = [
    './faster_rcnn_half_width_bccd_scratch.py',
    '../_base_/distill/faster_rcnn_r18_narrow_bccd.py',
]
