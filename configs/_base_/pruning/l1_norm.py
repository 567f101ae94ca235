# Pruning Filters for Efficient ConvNets (Li et al., ICLR 2017, arXiv 1608.08710).
_base_ = './sweep.py'

pruning = dict(method='L1 norm', criterion=dict(type='mmdet_lcp.L1Norm'))
