# A student: ssd_mobilenet_v1_bccd, without a teacher.
_base_ = '../ssd/ssd_mobilenet_v1_bccd.py'
