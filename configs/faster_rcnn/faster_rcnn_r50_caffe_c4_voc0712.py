# Faster R-CNN on conv4_x of ResNet-50, conv5_x in the RoI head, for Pascal VOC 07+12: the model of
# mmdet's pascal_voc/faster-rcnn_r50-caffe-c4_ms-18k_voc0712.py, trained in epochs.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py',
    '../_base_/datasets/voc0712_faster_rcnn.py',
    '../_base_/schedules/faster_rcnn_voc.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes={{_base_.num_classes}})))
