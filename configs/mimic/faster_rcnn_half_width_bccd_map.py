# For comparison: the whole map is mimicked, not the regions that matter.
_base_ = './faster_rcnn_half_width_bccd_mimic.py'

mimic = dict(regions='map')
