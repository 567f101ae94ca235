# The student of ssd_half_input_shallow_digits_scratch with ssd_narrow_vgg_digits as its teacher,
# which sees the training images at twice the size.
_base_ = ['./ssd_half_input_shallow_digits_scratch.py', '../_base_/distill/mimic.py']

large = dict(type='Resize', scale=(160, 160), keep_ratio=False)
train_pipeline = [large if step['type'] == 'Resize' else step for step in _base_.train_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

mimic = dict(
    image_scale=0.5,
    teacher=dict(
        config='configs/ssd/ssd_narrow_vgg_digits.py',
        checkpoint='work_dirs/ssd_narrow_vgg_digits/epoch_8.pth',
    ),
)
