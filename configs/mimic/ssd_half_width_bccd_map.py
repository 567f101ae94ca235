# For comparison: the whole map is mimicked, not the regions that matter.
_base_ = './ssd_half_width_bccd_mimic.py'

mimic = dict(regions='map')
