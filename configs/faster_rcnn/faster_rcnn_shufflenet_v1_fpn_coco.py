# Faster R-CNN on ShuffleNet v1 with FPN for COCO 2017, from random weights unless
# model.backbone.init_cfg names some; mmdet's schedule of the ResNet-50 detector.
_base_ = [
    '../_base_/models/faster_rcnn_shufflenet_v1.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]
