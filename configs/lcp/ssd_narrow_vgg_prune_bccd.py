# LCP on the quarter-width VGG-16 SSD, blood cells at 192x192, on a CPU.
_base_ = ['../ssd/ssd_narrow_vgg_bccd.py', '../_base_/pruning/lcp.py']

load_from = 'work_dirs/ssd_narrow_vgg_bccd/epoch_30.pth'

pruning = dict(
    ratio=0.7,
    finetune=dict(max_epochs=1, lr=0.01, param_scheduler=None),
    retrain=dict(
        max_epochs=10,
        lr=0.01,
        param_scheduler=[dict(type='MultiStepLR', milestones=[6, 9])],
    ),
    evaluate=('selected',),
)
