# Faster R-CNN on ResNet-50 with FPN for COCO 2017: mmdet's faster-rcnn_r50_fpn_1x_coco.py.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]
