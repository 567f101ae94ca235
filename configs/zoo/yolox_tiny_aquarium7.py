# YOLOX-tiny for aquarium7 at 320x320, on a CPU; the dense detector of
# compare_yolox_tiny_aquarium7.py. 315 photos are too few for random weights: it begins with those
# of another data set, all but its classes.
_base_ = [
    '../_base_/models/yolox_tiny.py',
    '../_base_/datasets/aquarium7.py',
    '../_base_/schedules/adamw_small.py',
]

model = dict(bbox_head=dict(num_classes={{_base_.num_classes}}))

load_from = 'work_dirs/yolox_tiny_36e_txlpbc/epoch_36.pth'

max_epochs = 40
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
param_scheduler = _base_.param_scheduler
param_scheduler[-1].update(end=max_epochs, T_max=max_epochs)
default_hooks = dict(checkpoint=dict(interval=5))
