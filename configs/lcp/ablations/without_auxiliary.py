# No auxiliary network, neither in fine-tuning nor in the criterion: reconstruction alone.
_base_ = '../ssd_narrow_vgg_prune_bccd.py'

pruning = dict(attachment=None, objective=dict(alpha=0.0))
