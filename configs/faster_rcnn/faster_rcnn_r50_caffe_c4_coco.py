# Faster R-CNN on conv4_x of ResNet-50 for COCO 2017: mmdet's faster-rcnn_r50-caffe_c4-1x_coco.py.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]
