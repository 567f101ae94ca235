# LCP on the quarter-width ResNet-18 SSD, blood cells at 192x192, on a CPU: the channels inside
# the residual blocks.
_base_ = ['../ssd/ssd_r18_narrow_bccd.py', '../_base_/pruning/lcp.py']

load_from = 'work_dirs/ssd_r18_narrow_bccd/epoch_30.pth'

pruning = dict(
    finetune=dict(max_epochs=1, lr=0.01, param_scheduler=None),
    retrain=dict(
        max_epochs=10,
        lr=0.01,
        param_scheduler=[dict(type='MultiStepLR', milestones=[6, 9])],
    ),
    evaluate=('selected',),
)
