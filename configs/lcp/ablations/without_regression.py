# The auxiliary network without its regression loss L_ar (m = 0).
_base_ = '../ssd_narrow_vgg_prune_bccd.py'

pruning = dict(attachment=dict(box_weight=0.0))
