# The demo: half of the channels of every prunable group of the backbone, built-in digits.
_base_ = ['../ssd/ssd_narrow_vgg_digits.py', '../_base_/pruning/lcp.py']

load_from = 'work_dirs/demo/dense/last.pth'
randomness = dict(seed=0)

pruning = dict(
    finetune=dict(max_epochs=None, max_iters=30, lr=0.01, param_scheduler=None),
    retrain=dict(
        max_epochs=3,
        lr=0.01,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
    ),
    evaluate=('selected',),
)
