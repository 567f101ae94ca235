# Channels selected in five portions, the gradient taken anew after each, as DCP does.
_base_ = '../ssd_narrow_vgg_prune_bccd.py'

pruning = dict(criterion=dict(greedy_steps=5))
