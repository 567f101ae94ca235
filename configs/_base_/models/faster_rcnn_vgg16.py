# Faster R-CNN on VGG-16 (https://arxiv.org/abs/1506.01497), of mmdet's parts: conv1_1 to conv5_3
# at stride 16, an RPN with 9 anchors a place, RoIAlign to 7x7, fc6 and fc7. The convolutions start
# from ImageNet weights, fc6 and fc7 at random. conv1 and conv2 are not trained, as in the paper.
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

model = dict(
    data_preprocessor=dict(std=[1.0, 1.0, 1.0]),
    backbone=dict(
        _delete_=True,
        type='mmdet_lcp.VGG',
        depth=16,
        out_indices=(4,),
        frozen_stages=2,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://vgg16_caffe'),
    ),
    neck=None,
    rpn_head=dict(
        in_channels=512,
        feat_channels=512,
        anchor_generator=dict(scales=[8, 16, 32], strides=[16]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=512, featmap_strides=[16]),
        bbox_head=dict(in_channels=512, fc_out_channels=4096),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=12000, max_per_img=2000),
        rcnn=dict(sampler=dict(num=256)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=6000, max_per_img=300)),
)
