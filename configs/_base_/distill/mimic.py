# Mimic (Li et al., CVPR 2017): the student learns its teacher's features at its own proposals or
# default boxes. Inherit this beside a student's config and name the teacher:
#   mimic = dict(teacher=dict(config='large.py', checkpoint='large.pth'))
runner_type = 'mmdet_lcp.MimicRunner'

mimic = dict(weight=10.0, regions='proposals')
