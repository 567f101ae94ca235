"""A tiny comparison: two groups, 3 iterations an epoch, 2 x 1 + 4 x 3 = 14 in all."""

from mmdet_lcp.comparison import ComparisonPlan
from mmdet_lcp.comparison.cells import Cell

GROUND = r"""
pruning.update(
    layers=r'stage4\.[01]\.conv',
    selection=dict(num_images=2, positions=dict(objects=0.9)),
    finetune=dict(max_epochs=None, max_iters=1, lr=0.003, param_scheduler=None),
    retrain=dict(max_epochs=4, lr=0.002, param_scheduler=[
        dict(type='MultiStepLR', milestones=[2, 3])]),
    evaluate=('pruned',),
)
train_cfg = dict(max_epochs=6)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='MultiStepLR', milestones=[3, 5]),
]
"""


def cell_of(plan: ComparisonPlan, name: str) -> Cell:
    """The cell of this name."""
    return next(cell for cell in plan.cells if cell.name == name)
