# Discrimination-aware Channel Pruning (Zhuang et al., NeurIPS 2018) in a detector, with the
# schedules of lcp.py. What is the paper's and what is our reading: configs/dcp/README.md.
_base_ = 'lcp.py'

pruning = dict(
    method='DCP',
    attachment=dict(_delete_=True, type='mmdet_lcp.DiscriminationAuxiliary', losses=3),
    # The paper adds one channel a step; four at once are four times as fast.
    criterion=dict(_delete_=True, type='mmdet_lcp.DCP', channels_per_step=4),
    update=dict(lr=0.1, passes=10),
)
