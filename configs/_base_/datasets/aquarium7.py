# Photos of aquariums (github.com/Chandra0804/Underwater-Object-Detection-YOLO-V8, CC BY 4.0; the
# "Aquarium Combined" set of Roboflow) in COCO's format, at most 400 pixels, here 320x320: seven
# classes, many small and crowded animals. `data/aquarium7` holds `images/` and
# `annotations/instances_{train,val,test}.json`. Train on train, choose on val, report test once.
# The val set has a single starfish.
dataset_type = 'CocoDataset'
data_root = 'data/aquarium7/'
metainfo = dict(
    classes=('fish', 'jellyfish', 'penguin', 'puffin', 'shark', 'starfish', 'stingray'),
)
num_classes = 7
image_size = 320
scale = (image_size, image_size)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    # few photos: every crop makes another one, and small animals larger
    dict(type='MinIoURandomCrop', min_ious=(0.3, 0.5, 0.7, 0.9), min_crop_size=0.4),
    dict(type='Resize', scale=scale, keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='PhotoMetricDistortion',
        brightness_delta=32,
        contrast_range=(0.5, 1.5),
        saturation_range=(0.5, 1.5),
        hue_delta=18,
    ),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=False),
    # after Resize: the ground truth stays in the coordinates of the file
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]

of_all = dict(
    type=dataset_type,
    data_root=data_root,
    metainfo=metainfo,
    data_prefix=dict(img='images/'),
)
at_a_time = dict(batch_size=8, num_workers=0, persistent_workers=False)
train_dataloader = dict(
    **at_a_time,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **of_all,
        ann_file='annotations/instances_train.json',
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    **at_a_time,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **of_all,
        ann_file='annotations/instances_val.json',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    **at_a_time,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **of_all,
        ann_file='annotations/instances_test.json',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
del of_all, at_a_time

val_evaluator = dict(
    type='CocoMetric',
    metric='bbox',
    format_only=False,
    ann_file=data_root + 'annotations/instances_val.json',
)
test_evaluator = dict(
    type='CocoMetric',
    metric='bbox',
    format_only=False,
    ann_file=data_root + 'annotations/instances_test.json',
)
