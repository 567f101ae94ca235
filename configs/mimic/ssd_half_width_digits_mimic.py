# The student of ssd_half_width_digits_scratch with a teacher.
_base_ = ['./ssd_half_width_digits_scratch.py', '../_base_/distill/ssd_narrow_vgg_digits.py']
