# Exact localization-aware selection, this project's default. LCP's reconstruction is solved in
# closed form, for the choice of the channels and for the next kernels; localization enters as the
# weights of positions and outputs. No fine-tuning between the groups. configs/lcp/README.md
# compares it with the paper's form (lcp.py).
_base_ = './sweep.py'

pruning = dict(
    method='LCP, exact',
    criterion=dict(type='mmdet_lcp.BackwardElimination', metric='gradient'),
    update=dict(_delete_=True, type='mmdet_lcp.ExactUpdate'),
    selection=dict(positions=dict(objects=0.7)),
)
