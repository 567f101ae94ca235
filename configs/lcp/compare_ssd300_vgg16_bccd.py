# The ground of a comparison (tools/compare.py) at full size: SSD300 on VGG-16, blood cells at
# 300x300, from random weights (a GPU's work).
_base_ = ['../ssd/ssd300_vgg16_scratch_bccd.py', '../_base_/pruning/lcp_exact.py']

load_from = 'work_dirs/ssd300_vgg16_scratch_bccd/epoch_80.pth'

pruning = dict(
    layers=r'^backbone\.',
    kinds=('single',),
    ratio=0.7,
    channel_divisor=1,
    selection=dict(num_images=64),
    finetune=dict(max_epochs=None, max_iters=0, lr=0.002, param_scheduler=None),
    retrain=dict(
        max_epochs=12,
        lr=0.002,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
    ),
    evaluate=('pruned',),
)
