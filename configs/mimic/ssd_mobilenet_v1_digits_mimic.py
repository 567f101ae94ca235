# The student of ssd_mobilenet_v1_digits_scratch with a teacher.
_base_ = ['./ssd_mobilenet_v1_digits_scratch.py', '../_base_/distill/ssd_narrow_vgg_digits.py']
