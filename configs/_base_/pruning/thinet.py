# ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression (Luo et al., ICCV 2017,
# arXiv 1707.06342), with its own update of the next kernels. The paper also fine-tunes for one or
# two epochs after each layer: --cfg-options pruning.finetune.max_iters=... does so before each.
_base_ = './sweep.py'

pruning = dict(
    method='ThiNet',
    criterion=dict(type='mmdet_lcp.ThiNet'),
    update=dict(_delete_=True, type='mmdet_lcp.ChannelScaleUpdate'),
)
