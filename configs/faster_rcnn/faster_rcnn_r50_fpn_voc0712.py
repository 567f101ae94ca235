# Faster R-CNN on ResNet-50 with FPN for Pascal VOC 07+12, as mmdet's
# pascal_voc/faster-rcnn_r50_fpn_1x_voc0712.py.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/datasets/voc0712_faster_rcnn.py',
    '../_base_/schedules/faster_rcnn_voc.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes={{_base_.num_classes}})))
