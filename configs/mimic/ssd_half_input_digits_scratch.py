# ssd_narrow_vgg_digits for images of half the size (80x80), without a teacher: a
# deconvolution brings the backbone's maps to the size that the head is used to.
_base_ = '../ssd/ssd_narrow_vgg_digits.py'

boxes = _base_.model.bbox_head.anchor_generator
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet_lcp.UpsampledBackbone',
        backbone=dict(type='mmdet_lcp.NarrowVGG', width_mult=0.25, out_stages=(4, 5)),
        in_channels=(128, 128),
        transform='deconv',
    ),
    bbox_head=dict(
        anchor_generator=dict(
            strides=[stride // 2 for stride in boxes.strides],
            min_sizes=[size // 2 for size in boxes.min_sizes],
            max_sizes=[size // 2 for size in boxes.max_sizes],
        )
    ),
)
del boxes

# 'area' takes the mean of the pixels that go into one, as the student of a mimic does.
image_size = _base_.image_size // 2
scale = (image_size, image_size)
small = dict(type='Resize', scale=scale, keep_ratio=False, interpolation='area')
train_pipeline = [small if step['type'] == 'Resize' else step for step in _base_.train_pipeline]
test_pipeline = [small if step['type'] == 'Resize' else step for step in _base_.test_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
