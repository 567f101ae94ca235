# Faster R-CNN on VGG-16 for Pascal VOC 07+12. It has no norms, hence the lower rate.
_base_ = [
    '../_base_/models/faster_rcnn_vgg16.py',
    '../_base_/datasets/voc0712_faster_rcnn.py',
    '../_base_/schedules/faster_rcnn_voc.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes={{_base_.num_classes}})))
optim_wrapper = dict(
    optimizer=dict(lr=0.005, weight_decay=5e-4), clip_grad=dict(max_norm=35, norm_type=2)
)
