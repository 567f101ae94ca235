# Group Fisher on the quarter-width VGG-16 SSD, blood cells at 192x192, on a CPU.
_base_ = ['../ssd/ssd_narrow_vgg_bccd.py', '../_base_/pruning/group_fisher.py']

load_from = 'work_dirs/ssd_narrow_vgg_bccd/epoch_30.pth'

pruning = dict(
    layers=r'^backbone\.',
    kinds=('single',),
    ratio=0.7,
    channel_divisor=1,
    retrain=dict(
        max_epochs=30,
        lr=0.01,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
    ),
    evaluate=('selected',),
)
