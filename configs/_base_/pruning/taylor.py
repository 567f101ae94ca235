# Importance Estimation for Neural Network Pruning (Molchanov et al., CVPR 2019, arXiv 1906.10771).
_base_ = './sweep.py'

pruning = dict(method='Taylor', criterion=dict(type='mmdet_lcp.Taylor'))
