# Faster R-CNN on a quarter-width ResNet-18 with FPN for the built-in digits at 160x160, from
# scratch, on a CPU.
_base_ = [
    '../_base_/models/faster_rcnn_r18_narrow.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/ssd_small.py',
    '../_base_/default_runtime.py',
]

# A digit is 20 to 95 pixels high and about 1.5 times as high as wide.
model = dict(
    rpn_head=dict(anchor_generator=dict(ratios=[1.0, 1.6, 2.4])),
    roi_head=dict(bbox_head=dict(num_classes={{_base_.num_classes}})),
)

# the fragment's random crops left out, to converge sooner
train_pipeline = [step for step in _base_.train_pipeline if step['type'] != 'RandomApply']
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=16, val_interval=8)
optim_wrapper = dict(optimizer=dict(lr=0.03, weight_decay=1e-4), clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=16,
        T_max=16,
        eta_min=1e-4,
        convert_to_iter_based=True,
    ),
]
