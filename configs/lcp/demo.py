# The demo, on the built-in digits: a quarter of the multiply-accumulates stays.
_base_ = ['../ssd/ssd_narrow_vgg_digits.py', '../_base_/pruning/lcp_exact.py']

load_from = 'work_dirs/demo/dense/epoch_8.pth'
randomness = dict(seed=0)

pruning = dict(
    target=dict(macs=0.25),
    selection=dict(num_images=48),
    evaluate=('selected', 'pruned'),
    retrain=dict(
        max_epochs=3,
        lr=0.01,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
    ),
)
