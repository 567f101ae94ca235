# A student: ssd_mobilenet_v1_digits, without a teacher.
_base_ = '../ssd/ssd_mobilenet_v1_digits.py'
