# m = 5, a tenth of the paper's; any other: --cfg-options pruning.attachment.box_weight=500
_base_ = '../ssd_narrow_vgg_prune_bccd.py'

pruning = dict(attachment=dict(box_weight=5.0))
