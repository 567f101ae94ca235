# SSD on half-width MobileNet v1 for blood cells at 192x192, from scratch, on a CPU.
_base_ = [
    '../_base_/models/ssd_mobilenet_v1_small.py',
    '../_base_/datasets/bccd.py',
    '../_base_/schedules/ssd_small.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(num_classes={{_base_.num_classes}}))
# Ten times the narrow VGG's rate, at which the compact backbones end far from converged.
optim_wrapper = dict(optimizer=dict(lr=0.1), clip_grad=dict(max_norm=10))
