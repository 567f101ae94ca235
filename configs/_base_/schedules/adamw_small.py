# Training a small detector from scratch on some hundred images, whatever its head: AdamW, 8
# epochs, cosine, a moving average of the weights.
_base_ = '../default_runtime.py'

max_epochs = 8
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
    clip_grad=dict(max_norm=10),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        eta_min=2e-5,
        convert_to_iter_based=True,
    ),
]

# The first is default_runtime.py's. What is tested and saved is the moving average.
custom_hooks = [
    dict(type='mmdet_lcp.DropDegenerateBoxesHook'),
    dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.002, update_buffers=True),
]
