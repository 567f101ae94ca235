# SSD300 on ResNet-50 for COCO 2017, trained as NVIDIA does.
_base_ = [
    '../_base_/models/ssd300_r50.py',
    '../_base_/datasets/coco_ssd300.py',
    '../_base_/schedules/ssd_coco.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(num_classes={{_base_.num_classes}}))
train_dataloader = dict(batch_size={{_base_.auto_scale_lr.base_batch_size}})
