# The student of ssd_shufflenet_v1_bccd_scratch with ssd_narrow_vgg_bccd as its teacher.
_base_ = ['./ssd_shufflenet_v1_bccd_scratch.py', '../_base_/distill/mimic.py']

mimic = dict(
    teacher=dict(
        config='configs/ssd/ssd_narrow_vgg_bccd.py',
        checkpoint='work_dirs/ssd_narrow_vgg_bccd/epoch_30.pth',
    )
)
