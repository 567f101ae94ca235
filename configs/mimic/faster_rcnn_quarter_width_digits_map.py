# For comparison: the whole map is mimicked, not the regions that matter.
_base_ = './faster_rcnn_quarter_width_digits_mimic.py'

mimic = dict(regions='map')
