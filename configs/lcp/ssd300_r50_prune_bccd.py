# LCP on SSD300 with ResNet-50, blood cells: retrained for as many epochs as the dense detector.
_base_ = ['../ssd/ssd300_r50_bccd.py', '../_base_/pruning/lcp_r50.py']

load_from = 'work_dirs/ssd300_r50_bccd/epoch_30.pth'

pruning = dict(
    retrain=dict(
        max_epochs=30,
        max_iters=None,
        lr=1e-3,
        param_scheduler=[dict(type='MultiStepLR', milestones=[20, 27])],
    ),
)
