# The gradient taken at the unpruned kernels, where reconstruction says little.
_base_ = '../ssd_narrow_vgg_prune_bccd.py'

pruning = dict(criterion=dict(reference='full'))
