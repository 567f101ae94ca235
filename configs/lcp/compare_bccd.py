# The ground of a comparison (tools/compare.py) on blood cells: the narrow VGG, retrained
# for a few epochs. The method that stands here gives way to each of those that are compared.
_base_ = ['../ssd/ssd_narrow_vgg_bccd.py', '../_base_/pruning/lcp_exact.py']

load_from = 'work_dirs/ssd_narrow_vgg_bccd/epoch_30.pth'

pruning = dict(
    layers=r'^backbone\.',
    kinds=('single',),
    ratio=0.7,
    channel_divisor=1,
    selection=dict(num_images=64),
    finetune=dict(max_epochs=None, max_iters=0, lr=0.005, param_scheduler=None),
    retrain=dict(
        max_epochs=4,
        lr=0.005,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
    ),
    evaluate=('pruned',),
)
