# The ground of a comparison (tools/compare.py) on txlpbc: the narrow VGG, over backbone and neck
# (the heads have no channels of their own). Train the dense detector first:
# mmdet-lcp train configs/ssd/ssd_narrow_vgg_txlpbc.py
_base_ = ['../ssd/ssd_narrow_vgg_txlpbc.py', '../_base_/pruning/lcp_exact.py']

load_from = 'work_dirs/ssd_narrow_vgg_txlpbc/epoch_36.pth'

pruning = dict(
    ratio=0.5,
    channel_divisor=1,  # 16 channels in steps of 8 leave no choice
    selection=dict(num_images=64),
    finetune=dict(max_epochs=None, max_iters=0, lr=0.01, param_scheduler=None),
    retrain=dict(
        max_epochs=8,
        lr=0.01,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
    ),
    evaluate=('pruned',),
)
