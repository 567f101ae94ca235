# Faster R-CNN on a quarter-width ResNet-18 with FPN for blood cells at 192x192, from scratch, on a
# CPU.
_base_ = [
    '../_base_/models/faster_rcnn_r18_narrow.py',
    '../_base_/datasets/bccd.py',
    '../_base_/schedules/ssd_small.py',
    '../_base_/default_runtime.py',
]

train_cfg = dict(max_epochs=20)
model = dict(roi_head=dict(bbox_head=dict(num_classes={{_base_.num_classes}})))
optim_wrapper = dict(optimizer=dict(lr=0.02, weight_decay=1e-4), clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=20,
        T_max=20,
        eta_min=1e-4,
        convert_to_iter_based=True,
    ),
]
