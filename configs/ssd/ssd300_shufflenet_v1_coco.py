# SSD300 on ShuffleNet v1 for COCO 2017, with the schedule of the ResNet-50 detector. Start it from
# ImageNet weights where there are some: model.backbone.init_cfg.
_base_ = [
    '../_base_/models/ssd300_shufflenet_v1.py',
    '../_base_/datasets/coco_ssd300.py',
    '../_base_/schedules/ssd_coco.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(num_classes={{_base_.num_classes}}))
train_dataloader = dict(batch_size={{_base_.auto_scale_lr.base_batch_size}})
optim_wrapper = dict(optimizer=dict(weight_decay=4e-5))
