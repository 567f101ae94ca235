# LCP on ResNet-50 as its paper does it: conv1-x to conv4-x (inside the bottlenecks), 15 epochs
# before each layer, then 120 000 iterations. The paper prunes half of the channels, and 0.7:
# --cfg-options pruning.ratio=0.7
_base_ = './lcp.py'

pruning = dict(
    stages=(1, 2, 3, 4),
    default=dict(ratio=0.5),
    finetune=dict(
        max_epochs=15,
        param_scheduler=[dict(type='MultiStepLR', milestones=[5, 10])],
    ),
    retrain=dict(
        max_epochs=None,
        max_iters=120_000,
        param_scheduler=[
            dict(type='MultiStepLR', by_epoch=False, milestones=[80_000, 100_000]),
        ],
    ),
)
