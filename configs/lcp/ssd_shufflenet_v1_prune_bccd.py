# Exact selection on the SSD on ShuffleNet v1 0.5 x, blood cells at 192x192, on a CPU: inside the
# units, and the residual streams that couple them; as many channels of each group of a grouped
# convolution.
_base_ = ['../ssd/ssd_shufflenet_v1_bccd.py', '../_base_/pruning/lcp_exact.py']

load_from = 'work_dirs/ssd_shufflenet_v1_bccd/epoch_30.pth'

pruning = dict(
    layers=r'^backbone\.',
    kinds=('single', 'coupled'),
    ratio=0.5,
    channel_divisor=1,
    retrain=dict(
        max_epochs=30,
        lr=0.01,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
    ),
)
