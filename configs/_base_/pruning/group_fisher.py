# Group Fisher Pruning for Practical Network Compression (Liu et al., ICML 2021, arXiv 2108.00708):
# its importance of a channel. The paper drops single channels of all groups in turn during
# training; here all are ranked at once, before it.
_base_ = './sweep.py'

pruning = dict(method='Group Fisher', criterion=dict(type='mmdet_lcp.GroupFisher'))
