# The control: random channels, as in Recovering from Random Pruning (Mittal et al., WACV 2018,
# arXiv 1801.10447).
_base_ = './sweep.py'

pruning = dict(method='Random', criterion=dict(type='mmdet_lcp.RandomChannels'))
