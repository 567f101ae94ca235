"""mmdet's own zoo: one detector of each family, the smallest, and the families that have none.

A family is a folder of `mmdet/.mim/configs` (mmdet 3.3). Images are small, 128 pixels, except
where a network or its anchors need larger ones.
"""

from mmdet_lcp.coverage.detectors import SupportedDetector

SIZE = 128

# Folder: name, config in it, side of the images.
_FAMILIES: dict[str, tuple[str, str, int]] = {
    'atss': ('ATSS R18', 'atss_r18_fpn_8xb8-amp-lsj-200e_coco', SIZE),
    'autoassign': ('AutoAssign R50', 'autoassign_r50-caffe_fpn_1x_coco', SIZE),
    'boxinst': ('BoxInst R50', 'boxinst_r50_fpn_ms-90k_coco', SIZE),
    'carafe': ('Faster R-CNN R50, CARAFE', 'faster-rcnn_r50_fpn-carafe_1x_coco', SIZE),
    'cascade_rcnn': ('Cascade R-CNN R18', 'cascade-rcnn_r18_fpn_8xb8-amp-lsj-200e_coco', SIZE),
    'cascade_rpn': ('Cascade RPN R50', 'cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco', SIZE),
    'centernet': ('CenterNet R18', 'centernet_r18_8xb16-crop512-140e_coco', SIZE),
    'centripetalnet': (
        'CentripetalNet',
        'centripetalnet_hourglass104_16xb6-crop511-210e-mstest_coco',
        SIZE,
    ),
    'condinst': ('CondInst R50', 'condinst_r50_fpn_ms-poly-90k_coco_instance', SIZE),
    'conditional_detr': ('Conditional DETR R50', 'conditional-detr_r50_8xb2-50e_coco', SIZE),
    'convnext': (
        'Mask R-CNN ConvNeXt-T',
        'mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco',
        SIZE,
    ),
    'cornernet': ('CornerNet', 'cornernet_hourglass104_8xb6-210e-mstest_coco', SIZE),
    'crowddet': ('CrowdDet R50', 'crowddet-rcnn_r50_fpn_8xb2-30e_crowdhuman', SIZE),
    'dab_detr': ('DAB-DETR R50', 'dab-detr_r50_8xb2-50e_coco', SIZE),
    'dcn': ('Faster R-CNN R50, DCN', 'faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco', SIZE),
    'dcnv2': ('Faster R-CNN R50, DCNv2', 'faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco', SIZE),
    'ddod': ('DDOD R50', 'ddod_r50_fpn_1x_coco', 384),
    'ddq': ('DDQ DETR R50', 'ddq-detr-4scale_r50_8xb2-12e_coco', 256),
    'deformable_detr': ('Deformable DETR R50', 'deformable-detr_r50_16xb2-50e_coco', SIZE),
    'detectors': ('DetectoRS R50', 'detectors_cascade-rcnn_r50_1x_coco', SIZE),
    'detr': ('DETR R18', 'detr_r18_8xb2-500e_coco', SIZE),
    'dino': ('DINO R50', 'dino-4scale_r50_8xb2-12e_coco', 256),
    'double_heads': ('Double-Head R-CNN R50', 'dh-faster-rcnn_r50_fpn_1x_coco', SIZE),
    'dyhead': ('ATSS R50, DyHead', 'atss_r50_fpn_dyhead_1x_coco', SIZE),
    'dynamic_rcnn': ('Dynamic R-CNN R50', 'dynamic-rcnn_r50_fpn_1x_coco', SIZE),
    'efficientnet': (
        'RetinaNet EfficientNet-B3',
        'retinanet_effb3_fpn_8xb4-crop896-1x_coco',
        SIZE,
    ),
    'empirical_attention': (
        'Faster R-CNN R50, attention',
        'faster-rcnn_r50-attn0010_fpn_1x_coco',
        SIZE,
    ),
    'fast_rcnn': ('Fast R-CNN R50', 'fast-rcnn_r50_fpn_1x_coco', SIZE),
    'faster_rcnn': ('Faster R-CNN R18', 'faster-rcnn_r18_fpn_8xb8-amp-lsj-200e_coco', SIZE),
    'fcos': (
        'FCOS R18',
        'fcos_r18_fpn_gn-head-center-normbbox-centeronreg-giou_8xb8-amp-lsj-200e_coco',
        SIZE,
    ),
    'foveabox': ('FoveaBox R50', 'fovea_r50_fpn_4xb4-1x_coco', SIZE),
    'fpg': ('RetinaNet R50, FPG', 'retinanet_r50_fpg-chn128_crop640_50e_coco', SIZE),
    'free_anchor': ('FreeAnchor R50', 'freeanchor_r50_fpn_1x_coco', SIZE),
    'fsaf': ('FSAF R50', 'fsaf_r50_fpn_1x_coco', SIZE),
    'gcnet': ('Mask R-CNN R50, GCNet', 'mask-rcnn_r50-gcb-r16-c3-c5_fpn_1x_coco', SIZE),
    'gfl': ('GFL R50', 'gfl_r50_fpn_1x_coco', SIZE),
    'ghm': ('RetinaNet R50, GHM', 'retinanet_r50_fpn_ghm-1x_coco', SIZE),
    'glip': ('GLIP Swin-T', 'glip_atss_swin-t_a_fpn_dyhead_16xb2_ms-2x_funtune_coco', SIZE),
    'gn': ('Mask R-CNN R50, GN', 'mask-rcnn_r50_fpn_gn-all_2x_coco', SIZE),
    'gn+ws': ('Faster R-CNN R50, GN and WS', 'faster-rcnn_r50_fpn_gn-ws-all_1x_coco', SIZE),
    'grid_rcnn': ('Grid R-CNN R50', 'grid-rcnn_r50_fpn_gn-head_1x_coco', SIZE),
    'groie': ('Faster R-CNN R50, GRoIE', 'faste-rcnn_r50_fpn_groie_1x_coco', SIZE),
    'grounding_dino': ('Grounding DINO R50', 'grounding_dino_r50_scratch_8xb2_1x_coco', 256),
    'guided_anchoring': ('GA-RetinaNet R50', 'ga-retinanet_r50_fpn_1x_coco', SIZE),
    'hrnet': ('FCOS HRNetV2p-W18', 'fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco', SIZE),
    'htc': ('HTC R50', 'htc_r50_fpn_1x_coco', SIZE),
    'lad': ('LAD R50', 'lad_r50-paa-r101_fpn_2xb8_coco_1x', SIZE),
    'ld': ('LD R18', 'ld_r18-gflv1-r101_fpn_1x_coco', SIZE),
    'legacy_1.x': ('RetinaNet R50 of mmdet 1', 'retinanet_r50_fpn_1x_coco_v1', SIZE),
    'libra_rcnn': ('Libra R-CNN R50', 'libra-faster-rcnn_r50_fpn_1x_coco', SIZE),
    'mask2former': ('Mask2Former R50', 'mask2former_r50_8xb2-lsj-50e_coco', SIZE),
    'mask_rcnn': ('Mask R-CNN R18', 'mask-rcnn_r18_fpn_8xb8-amp-lsj-200e_coco', SIZE),
    'maskformer': ('MaskFormer R50', 'maskformer_r50_ms-16xb1-75e_coco', SIZE),
    'mm_grounding_dino': (
        'MM Grounding DINO Swin-T',
        'grounding_dino_swin-t_pretrain_obj365',
        256,
    ),
    'ms_rcnn': ('Mask Scoring R-CNN R50', 'ms-rcnn_r50_fpn_1x_coco', SIZE),
    'nas_fcos': ('NAS-FCOS R50', 'nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco', SIZE),
    'nas_fpn': ('RetinaNet R50, NAS-FPN', 'retinanet_r50_nasfpn_crop640-50e_coco', SIZE),
    'paa': ('PAA R50', 'paa_r50_fpn_1x_coco', SIZE),
    'pafpn': ('Faster R-CNN R50, PAFPN', 'faster-rcnn_r50_pafpn_1x_coco', SIZE),
    'panoptic_fpn': ('Panoptic FPN R50', 'panoptic-fpn_r50_fpn_1x_coco', SIZE),
    'pisa': ('RetinaNet R50, PISA', 'retinanet-r50_fpn_pisa_1x_coco', SIZE),
    'point_rend': ('PointRend R50', 'point-rend_r50-caffe_fpn_ms-1x_coco', SIZE),
    'pvt': ('RetinaNet PVTv2-B0', 'retinanet_pvtv2-b0_fpn_1x_coco', SIZE),
    'queryinst': ('QueryInst R50', 'queryinst_r50_fpn_1x_coco', SIZE),
    'regnet': ('Faster R-CNN RegNetX-400MF', 'faster-rcnn_regnetx-400MF_fpn_ms-3x_coco', SIZE),
    'reppoints': ('RepPoints R50', 'reppoints-moment_r50_fpn_1x_coco', SIZE),
    'res2net': ('Faster R-CNN Res2Net-101', 'faster-rcnn_res2net-101_fpn_2x_coco', SIZE),
    'resnest': (
        'Faster R-CNN ResNeSt-50',
        'faster-rcnn_s50_fpn_syncbn-backbone+head_ms-range-1x_coco',
        SIZE,
    ),
    'retinanet': ('RetinaNet R18', 'retinanet_r18_fpn_1x_coco', SIZE),
    'rpn': ('RPN R50', 'rpn_r50_fpn_1x_coco', SIZE),
    'rtmdet': ('RTMDet-tiny', 'rtmdet_tiny_8xb32-300e_coco', SIZE),
    'sabl': ('SABL RetinaNet R50', 'sabl-retinanet_r50_fpn_1x_coco', SIZE),
    'scnet': ('SCNet R50', 'scnet_r50_fpn_1x_coco', SIZE),
    'scratch': ('Faster R-CNN R50, all GN', 'faster-rcnn_r50-scratch_fpn_gn-all_6x_coco', SIZE),
    'seesaw_loss': (
        'Mask R-CNN R50, seesaw loss',
        'mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1',
        SIZE,
    ),
    'soft_teacher': (
        'Soft Teacher R50',
        'soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.01-coco',
        SIZE,
    ),
    'solo': ('SOLO R18', 'solo_r18_fpn_8xb8-lsj-200e_coco', SIZE),
    'solov2': ('SOLOv2 light R18', 'solov2-light_r18_fpn_ms-3x_coco', SIZE),
    'sparse_rcnn': ('Sparse R-CNN R50', 'sparse-rcnn_r50_fpn_1x_coco', SIZE),
    'ssd': ('SSDLite MobileNetV2', 'ssdlite_mobilenetv2-scratch_8xb24-600e_coco', 320),
    'swin': ('RetinaNet Swin-T', 'retinanet_swin-t-p4-w7_fpn_1x_coco', SIZE),
    'timm_example': (
        'RetinaNet EfficientNet-B1 of timm',
        'retinanet_timm-efficientnet-b1_fpn_1x_coco',
        SIZE,
    ),
    'tood': ('TOOD R50', 'tood_r50_fpn_1x_coco', SIZE),
    'tridentnet': ('TridentNet R50', 'tridentnet_r50-caffe_1x_coco', SIZE),
    'vfnet': ('VFNet R50', 'vfnet_r50_fpn_1x_coco', SIZE),
    'yolact': ('YOLACT R50', 'yolact_r50_1xb8-55e_coco', SIZE),
    'yolo': ('YOLOv3 MobileNetV2', 'yolov3_mobilenetv2_8xb24-320-300e_coco', SIZE),
    'yolof': ('YOLOF R50', 'yolof_r50-c5_8xb8-1x_coco', SIZE),
    'yolox': ('YOLOX-nano', 'yolox_nano_8xb8-300e_coco', SIZE),
}

ZOO: dict[str, SupportedDetector] = {
    family: SupportedDetector(name, f'mmdet::{family}/{file}.py', size)
    for family, (name, file, size) in _FAMILIES.items()
}
"""The detector of each family, by the family's folder."""

_DATA = 'a data set; its detectors are those of other families'
_SCHEDULE = 'augmentation or schedules of Mask R-CNN; the detector is that family'
_WEIGHTS = 'other initial weights; the detectors are those of other families'
_VIDEO = 'tracks objects through videos; its detector is one of another family'

LEFT_OUT: dict[str, str] = {
    'albu_example': _SCHEDULE,
    'bytetrack': _VIDEO,
    'cityscapes': _DATA,
    'common': 'parts of other configs',
    'deepfashion': _DATA,
    'deepsort': _VIDEO,
    'dsdl': _DATA,
    'instaboost': _SCHEDULE,
    'lvis': _DATA,
    'mask2former_vis': _VIDEO,
    'masktrack_rcnn': _VIDEO,
    'misc': "Detectron2's settings; the detectors are those of other families",
    'objects365': _DATA,
    'ocsort': _VIDEO,
    'openimages': _DATA,
    'pascal_voc': _DATA,
    'qdtrack': _VIDEO,
    'reid': 'tells persons of a video apart and detects nothing',
    'resnet_strikes_back': _WEIGHTS,
    'selfsup_pretrain': _WEIGHTS,
    'simple_copy_paste': _SCHEDULE,
    'sort': _VIDEO,
    'strong_baselines': _SCHEDULE,
    'strongsort': _VIDEO,
    'v3det': _DATA,
    'wider_face': _DATA,
}
"""The other folders, and why no detector of theirs is tried."""
