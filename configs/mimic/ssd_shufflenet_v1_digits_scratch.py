# A student: ssd_shufflenet_v1_digits, without a teacher.
_base_ = '../ssd/ssd_shufflenet_v1_digits.py'
