# RoIAlign on the default box alone, without the box that also encloses its object.
_base_ = '../ssd_narrow_vgg_prune_bccd.py'

pruning = dict(attachment=dict(contextual=False))
