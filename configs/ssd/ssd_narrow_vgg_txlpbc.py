# SSD on a quarter-width VGG-16 for txlpbc's blood cells at 192x192, from scratch, on a CPU.
_base_ = [
    '../_base_/models/ssd_narrow_vgg.py',
    '../_base_/datasets/txlpbc.py',
    '../_base_/schedules/sgd_cosine.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(num_classes={{_base_.num_classes}}))
# added to the hooks of default_runtime.py
custom_hooks = [
    dict(type='mmdet_lcp.DropDegenerateBoxesHook'),
    dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.002, update_buffers=True),
]
