# Exact selection on the SSD on half-width MobileNet v1, blood cells at 192x192, on a CPU: every
# 1x1 convolution, and with it the depth-wise one behind it.
_base_ = ['../ssd/ssd_mobilenet_v1_bccd.py', '../_base_/pruning/lcp_exact.py']

load_from = 'work_dirs/ssd_mobilenet_v1_bccd/epoch_30.pth'

pruning = dict(
    layers=r'^backbone\.',
    kinds=('single',),
    ratio=0.5,
    channel_divisor=1,
    retrain=dict(
        max_epochs=30,
        lr=0.01,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
    ),
)
