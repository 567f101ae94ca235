# The student of ssd_half_input_digits_scratch. Its teacher sees the images at twice the size. The
# transform is a part of the student.
_base_ = ['./ssd_half_input_digits_scratch.py', '../_base_/distill/ssd_narrow_vgg_digits.py']

large = dict(type='Resize', scale=(2 * _base_.image_size,) * 2, keep_ratio=False)
train_pipeline = [large if step['type'] == 'Resize' else step for step in _base_.train_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

mimic = dict(transform='none', image_scale=0.5)
