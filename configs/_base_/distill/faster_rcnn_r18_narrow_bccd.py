# The teacher of the Faster R-CNN students on blood cells.
_base_ = './mimic.py'

mimic = dict(
    teacher=dict(
        config='configs/faster_rcnn/faster_rcnn_r18_narrow_bccd.py',
        checkpoint='work_dirs/faster_rcnn_r18_narrow_bccd/epoch_20.pth',
    )
)
