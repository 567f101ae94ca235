# ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression (Luo et al., ICCV 2017,
# arXiv 1707.06342), with its own update of the next kernels. The paper also fine-tunes for one or
# two epochs after each layer: --cfg-options pruning.finetune.max_iters=... does so before each.
_base_ = './sweep.py'

pruning = dict(
    method='ThiNet',
    # The paper's: the same part of every layer inside the backbone.
    layers=r'^backbone\.',
    kinds=('single',),
    default=dict(_delete_=True, ratio=0.5),
    channel_divisor=1,
    criterion=dict(type='mmdet_lcp.ThiNet'),
    update=dict(_delete_=True, type='mmdet_lcp.ChannelScaleUpdate'),
)
