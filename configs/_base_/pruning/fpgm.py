# Filter Pruning via Geometric Median (He et al., CVPR 2019, arXiv 1811.00250).
_base_ = './sweep.py'

pruning = dict(method='FPGM', criterion=dict(type='mmdet_lcp.FPGM'))
