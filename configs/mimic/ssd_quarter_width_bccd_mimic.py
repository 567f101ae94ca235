# The student of ssd_quarter_width_bccd_scratch with a teacher.
_base_ = ['./ssd_quarter_width_bccd_scratch.py', '../_base_/distill/ssd_narrow_vgg_bccd.py']
