# Faster R-CNN on ShuffleNet v1 with FPN for Pascal VOC 07+12, from random weights unless
# model.backbone.init_cfg names some.
_base_ = [
    '../_base_/models/faster_rcnn_shufflenet_v1.py',
    '../_base_/datasets/voc0712_faster_rcnn.py',
    '../_base_/schedules/faster_rcnn_voc.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes={{_base_.num_classes}})))
