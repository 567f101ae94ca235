# YOLOX-tiny, as wide as mmdet's, from scratch, for txlpbc at 192x192, on a CPU. Without mosaic
# and mixup, which want hundreds of epochs.
_base_ = [
    '../_base_/models/yolox_tiny.py',
    '../_base_/datasets/txlpbc.py',
    '../_base_/schedules/adamw_small.py',
]

model = dict(bbox_head=dict(num_classes={{_base_.num_classes}}))
