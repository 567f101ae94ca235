# The criterion without the reconstruction loss: the auxiliary losses decide alone.
_base_ = '../ssd_narrow_vgg_prune_bccd.py'

pruning = dict(objective=dict(reconstruction=0.0))
