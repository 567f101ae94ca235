# The auxiliary network without its classification loss L_ac.
_base_ = '../ssd_narrow_vgg_prune_bccd.py'

pruning = dict(attachment=dict(cls_weight=0.0))
