# The same with the exact update of the next kernels.
_base_ = 'ssd_narrow_vgg_prune_bccd.py'

pruning = dict(
    method='LCP, exact update',
    update=dict(_delete_=True, type='mmdet_lcp.ExactUpdate'),
)
