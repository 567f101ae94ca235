# alpha = 0.1; any other value: --cfg-options pruning.objective.alpha=10
_base_ = '../ssd_narrow_vgg_prune_bccd.py'

pruning = dict(objective=dict(alpha=0.1))
