"""Tiny detectors of every kind, real in every part, and a batch for them."""

import copy

import mmdet.models  # noqa: F401  fills mmdet's registries
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from small_ssd import TRAIN_CFG

SIZE = 64


def ssd_config(**head):
    return ConfigDict(
        type='SingleStageDetector',
        backbone=dict(
            type='ResNet',
            depth=18,
            base_channels=8,
            num_stages=4,
            out_indices=(2, 3),
            style='pytorch',
        ),
        neck=dict(
            type='SSDNeck',
            in_channels=(32, 64),
            out_channels=(32, 64, 32),
            level_strides=(2,),
            level_paddings=(1,),
            l2_norm_scale=20,
        ),
        bbox_head=dict(
            type='SSDHead',
            in_channels=(32, 64, 32),
            num_classes=3,
            anchor_generator=dict(
                type='SSDAnchorGenerator',
                scale_major=False,
                input_size=SIZE,
                min_sizes=[12, 28, 44],
                max_sizes=[28, 44, 60],
                strides=[16, 32, 64],
                ratios=[[2], [2, 3], [2]],
            ),
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder',
                target_means=[0.0, 0.0, 0.0, 0.0],
                target_stds=[0.1, 0.1, 0.2, 0.2],
            ),
        )
        | head,
        train_cfg=TRAIN_CFG,
    )


BACKBONE = dict(type='ResNet', depth=18, base_channels=8, out_indices=(1, 2, 3), style='pytorch')
NECK = dict(type='FPN', in_channels=[16, 32, 64], out_channels=16, num_outs=3)
STRIDES = [8, 16, 32]
ANCHORS = dict(type='AnchorGenerator', scales=[2], ratios=[0.5, 1.0], strides=STRIDES)
SQUARES = dict(ANCHORS, ratios=[1.0], octave_base_scale=2, scales_per_octave=1, scales=None)
MAX_IOU = dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0)
TRAIN = dict(assigner=MAX_IOU, allowed_border=-1, pos_weight=-1)
NMS = dict(nms_pre=60, max_per_img=40, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)


def one_stage_config(head, kind='SingleStageDetector', **train_cfg):
    """A detector of three levels and three classes with this head."""
    parts = dict(num_classes=3, in_channels=16, feat_channels=32, stacked_convs=1)
    return ConfigDict(
        type=kind,
        backbone=BACKBONE,
        neck=NECK,
        bbox_head=parts | head,
        train_cfg=TRAIN | train_cfg,
        test_cfg=None,
    )


HEADS = dict(
    RetinaNet=one_stage_config(dict(type='RetinaHead', anchor_generator=ANCHORS)),
    ATSS=one_stage_config(
        dict(type='ATSSHead', anchor_generator=SQUARES, loss_bbox=dict(type='GIoULoss')),
        assigner=dict(type='ATSSAssigner', topk=3),
    ),
    GFL=one_stage_config(
        dict(
            type='GFLHead',
            anchor_generator=SQUARES,
            loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True),
            loss_bbox=dict(type='GIoULoss'),
        ),
        assigner=dict(type='ATSSAssigner', topk=3),
    ),
    TOOD=one_stage_config(
        dict(
            type='TOODHead',
            anchor_generator=SQUARES,
            stacked_convs=2,
            initial_loss_cls=dict(type='FocalLoss', use_sigmoid=True, activated=True),
            loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, activated=True),
            loss_bbox=dict(type='GIoULoss'),
        ),
        initial_epoch=4,
        initial_assigner=dict(type='ATSSAssigner', topk=3),
        assigner=dict(type='TaskAlignedAssigner', topk=5),
        alpha=1,
        beta=6,
    ),
    FCOS=one_stage_config(
        dict(
            type='FCOSHead',
            strides=STRIDES,
            regress_ranges=((-1, 24), (24, 40), (40, 1e8)),
            norm_cfg=None,
        ),
        kind='FCOS',
    ),
    YOLOX=one_stage_config(
        dict(type='YOLOXHead', strides=STRIDES, stacked_convs=1),
        kind='YOLOX',
        assigner=dict(type='SimOTAAssigner', center_radius=2.5),
    ),
    RTMDet=one_stage_config(
        dict(
            type='RTMDetHead',
            anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=STRIDES),
            bbox_coder=dict(type='DistancePointBBoxCoder'),
            loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0),
            loss_bbox=dict(type='GIoULoss'),
            with_objectness=False,
        ),
        kind='RTMDet',
        assigner=dict(type='DynamicSoftLabelAssigner', topk=5),
    ),
)
HEADS['YOLOv3'] = ConfigDict(
    type='YOLOV3',
    backbone=BACKBONE,
    neck=NECK,
    bbox_head=dict(
        type='YOLOV3Head',
        num_classes=3,
        in_channels=[16, 16, 16],
        out_channels=[16, 16, 16],
        anchor_generator=dict(
            type='YOLOAnchorGenerator',
            base_sizes=[[(10, 12), (18, 14)], [(24, 24), (30, 36)], [(44, 40), (60, 56)]],
            strides=STRIDES,
        ),
        bbox_coder=dict(type='YOLOBBoxCoder'),
        featmap_strides=STRIDES,
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, reduction='sum'),
        loss_conf=dict(type='CrossEntropyLoss', use_sigmoid=True, reduction='sum'),
        loss_xy=dict(type='CrossEntropyLoss', use_sigmoid=True, reduction='sum'),
        loss_wh=dict(type='MSELoss', reduction='sum'),
    ),
    train_cfg=dict(
        assigner=dict(type='GridAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0)
    ),
    test_cfg=None,
)


def two_stage_config(rpn_num=32, rcnn_num=24, kind='FasterRCNN'):
    """Faster R-CNN of three levels and three classes."""
    coder = dict(type='DeltaXYWHBBoxCoder', target_stds=(0.1, 0.1, 0.2, 0.2))
    head = dict(
        type='Shared2FCBBoxHead',
        in_channels=16,
        fc_out_channels=24,
        roi_feat_size=3,
        num_classes=3,
        bbox_coder=coder,
    )
    extractor = dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=1),
        out_channels=16,
        featmap_strides=STRIDES,
    )
    rcnn = dict(
        assigner=dict(MAX_IOU, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False),
        sampler=dict(type='RandomSampler', num=rcnn_num, pos_fraction=0.5),
        pos_weight=-1,
    )
    roi_head = dict(type='StandardRoIHead', bbox_roi_extractor=extractor, bbox_head=head)
    if kind == 'CascadeRCNN':
        roi_head = dict(
            type='CascadeRoIHead',
            num_stages=2,
            stage_loss_weights=[1, 0.5],
            bbox_roi_extractor=extractor,
            bbox_head=[dict(head, reg_class_agnostic=True) for _ in range(2)],
        )
        rcnn = [rcnn, rcnn]
    return ConfigDict(
        type=kind,
        backbone=BACKBONE,
        neck=NECK,
        rpn_head=dict(
            type='RPNHead',
            in_channels=16,
            feat_channels=16,
            anchor_generator=ANCHORS,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        ),
        roi_head=roi_head,
        train_cfg=dict(
            rpn=dict(
                assigner=MAX_IOU,
                sampler=dict(
                    type='RandomSampler',
                    num=rpn_num,
                    pos_fraction=0.5,
                    add_gt_as_proposals=False,
                ),
                allowed_border=0,
                pos_weight=-1,
            ),
            rpn_proposal=NMS,
            rcnn=rcnn,
        ),
        test_cfg=dict(rpn=NMS, rcnn=dict(NMS, score_thr=0.0)),
    )


def build(config):
    """A detector in training mode, the same one each time."""
    torch.manual_seed(0)
    detector = MODELS.build(copy.deepcopy(config))
    detector.init_weights()
    return detector.train()


def packed(batch, device='cpu'):
    """(images, data samples) of the `batch` fixture."""
    images, instances, metas = batch
    samples = []
    for instance, meta in zip(instances, metas, strict=True):
        sample = DetDataSample(metainfo=dict(meta, scale_factor=(1.0, 1.0), ori_shape=(64, 64)))
        sample.gt_instances = instance
        samples.append(sample)
    return images, samples


@pytest.fixture
def faster_rcnn():
    return build(two_stage_config())


@pytest.fixture
def ssd():
    torch.manual_seed(0)
    detector = MODELS.build(ssd_config())
    detector.init_weights()  # until then mmdet's L2Norm holds whatever the memory held
    return detector


@pytest.fixture
def batch():
    """Two images with objects and one without: images, instances, metas."""
    generator = torch.Generator().manual_seed(1)
    boxes = [
        [[4, 6, 30, 28], [20, 22, 60, 62], [33, 1, 47, 16]],
        [[10, 10, 50, 40], [1, 33, 15, 48]],
        [],
    ]
    labels = [[0, 1, 2], [1, 0], []]
    instances = [
        InstanceData(
            bboxes=torch.tensor(b, dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor(k, dtype=torch.long),
        )
        for b, k in zip(boxes, labels, strict=True)
    ]
    metas = [
        dict(img_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE), batch_input_shape=(SIZE, SIZE))
    ] * 3
    return torch.randn(3, 3, SIZE, SIZE, generator=generator), instances, metas
