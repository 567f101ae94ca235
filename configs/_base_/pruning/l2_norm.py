# The Euclidean norm of filters, as in Soft Filter Pruning (He et al., IJCAI 2018, arXiv
# 1808.06866), but each filter goes once and for good.
_base_ = './sweep.py'

pruning = dict(method='L2 norm', criterion=dict(type='mmdet_lcp.L2Norm'))
