# A student: ssd_shufflenet_v1_bccd, without a teacher.
_base_ = '../ssd/ssd_shufflenet_v1_bccd.py'
