# Blood cells of four laboratories (github.com/lugan113/TXL-PBC_Dataset, MIT) in COCO's format:
# images of at most 400 pixels, here 192x192. `data/txlpbc` holds `images/` and
# `annotations/instances_{train,val,test}.json`. Train on train, choose on val, report test once.
# 221 of the images are also in BCCD: never train on one and test on the other.
_base_ = './bccd.py'  # its pipelines: these are blood cells too

dataset_type = 'CocoDataset'
data_root = 'data/txlpbc/'
metainfo = dict(_delete_=True, classes=('WBC', 'RBC', 'Platelets'))

of_all = dict(
    _delete_=True,
    type=dataset_type,
    data_root=data_root,
    metainfo=dict(classes=metainfo['classes']),
    data_prefix=dict(img='images/'),
)
train_dataloader = dict(
    dataset=dict(
        **of_all,
        ann_file='annotations/instances_train.json',
        filter_cfg=dict(filter_empty_gt=True),
        pipeline={{_base_.train_pipeline}},
    )
)
val_dataloader = dict(
    dataset=dict(
        **of_all,
        ann_file='annotations/instances_val.json',
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    )
)
test_dataloader = dict(
    dataset=dict(
        **of_all,
        ann_file='annotations/instances_test.json',
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    )
)

coco = dict(_delete_=True, type='CocoMetric', metric='bbox', format_only=False)
val_evaluator = dict(**coco, ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = dict(**coco, ann_file=data_root + 'annotations/instances_test.json')
del of_all, coco
