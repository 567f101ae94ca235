# Faster R-CNN on a quarter-width ResNet-18 with FPN for txlpbc's blood cells at 192x192, from
# scratch, on a CPU: the dense detector of ../lcp/compare_faster_rcnn_txlpbc.py.
_base_ = [
    '../_base_/models/faster_rcnn_r18_narrow.py',
    '../_base_/datasets/txlpbc.py',
    '../_base_/schedules/sgd_cosine.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes={{_base_.num_classes}})))
optim_wrapper = dict(optimizer=dict(lr=0.02, weight_decay=1e-4))
# added to the hooks of default_runtime.py
custom_hooks = [
    dict(type='mmdet_lcp.DropDegenerateBoxesHook'),
    dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.002, update_buffers=True),
]
