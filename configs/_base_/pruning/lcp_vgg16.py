# LCP on VGG-16 as its paper does it: conv1-1 to conv5-3, 10 epochs before each (`lcp.py`), then
# 60 000 iterations.
#
# The paper's "0.75" is read as MACs: without half of its channels a layer has half of its filters
# and half of its inputs, so a chain of them loses about 75 % of its multiply-accumulates. The
# other reading, three quarters of the channels: --cfg-options pruning.ratio=0.75
_base_ = './lcp.py'

pruning = dict(
    stages=(1, 2, 3, 4, 5),
    default=dict(ratio=0.5),
    retrain=dict(
        max_epochs=None,
        max_iters=60_000,
        lr=5e-4,
        param_scheduler=[
            dict(type='MultiStepLR', by_epoch=False, milestones=[30_000, 45_000]),
        ],
    ),
)
