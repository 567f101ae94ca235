# Network Slimming (Liu et al., ICCV 2017, arXiv 1708.06519), without the L1 penalty on the scales
# in the training before. Needs batch norms: the VGG-16 of SSD300 has none.
_base_ = './sweep.py'

pruning = dict(method='BN scale', criterion=dict(type='mmdet_lcp.BNScale'))
