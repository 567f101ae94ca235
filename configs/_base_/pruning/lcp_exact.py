# LCP's selection, but the next kernels are solved for in closed form instead of descended on:
# far closer to the original output, for the same images. Not the paper's, and better.
_base_ = 'lcp.py'

pruning = dict(
    method='LCP, exact update',
    update=dict(_delete_=True, type='mmdet_lcp.ExactUpdate'),
)
