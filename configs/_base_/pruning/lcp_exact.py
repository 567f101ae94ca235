# LCP's selection, but the next kernels are solved for in closed form instead of descended on.
# Not the paper's. It keeps the detector working where there is little fine-tuning between layers;
# with long training the paper's update has ended ahead (results: configs/lcp/README.md).
_base_ = 'lcp.py'

pruning = dict(
    method='LCP, exact update',
    update=dict(_delete_=True, type='mmdet_lcp.ExactUpdate'),
)
