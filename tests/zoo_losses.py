"""Detectors of mmdet's zoo, narrowed, a batch for each, and a training step's loss by hand."""

import copy
from typing import Any

import torch
from detectors import plain
from mmcv.cnn.bricks.drop import DropPath
from mmdet.models.layers import DropBlock
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.logging import MessageHub
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from mmdet_lcp.seeds import seeded
from mmdet_lcp.selection.images import SelectionImages

SIZE = 64
NARROW = {64: 8, 128: 8, 256: 8, 512: 16, 1024: 32, 2048: 64}  # ResNet-50's widths to these

# A few that a machine of two cores builds and runs in a second each; they differ in what train
# mode changes: outputs of the head, queries with noise, sampled regions, counters of a loss.
CHEAP = {
    'VFNet': 'vfnet/vfnet_r50_fpn_1x_coco.py',
    'RepPoints': 'reppoints/reppoints-moment_r50_fpn_1x_coco.py',
    'FCOS, norm_on_bbox': (
        'fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco.py'
    ),
    'CenterNet-update': 'centernet/centernet-update_r50-caffe_fpn_ms-1x_coco.py',
    'DINO': 'dino/dino-4scale_r50_8xb2-12e_coco.py',
    'RetinaNet, GHM': 'ghm/retinanet_r50_fpn_ghm-1x_coco.py',
    'Mask R-CNN': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'Dynamic R-CNN': 'dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco.py',
}
OTHERS = {
    'Faster R-CNN': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'Cascade R-CNN': 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
    'RetinaNet': 'retinanet/retinanet_r50_fpn_1x_coco.py',
    'SSDLite': 'ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py',
    'FCOS': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'ATSS': 'atss/atss_r50_fpn_1x_coco.py',
    'GFL': 'gfl/gfl_r50_fpn_1x_coco.py',
    'PAA': 'paa/paa_r50_fpn_1x_coco.py',
    'TOOD': 'tood/tood_r50_fpn_1x_coco.py',
    'DDOD': 'ddod/ddod_r50_fpn_1x_coco.py',
    'AutoAssign': 'autoassign/autoassign_r50-caffe_fpn_1x_coco.py',
    'FoveaBox': 'foveabox/fovea_r50_fpn_4xb4-1x_coco.py',
    'FreeAnchor': 'free_anchor/freeanchor_r50_fpn_1x_coco.py',
    'FSAF': 'fsaf/fsaf_r50_fpn_1x_coco.py',
    'NAS-FCOS': 'nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco.py',
    'SABL': 'sabl/sabl-retinanet_r50_fpn_1x_coco.py',
    'PISA': 'pisa/retinanet-r50_fpn_pisa_1x_coco.py',
    'GA-RetinaNet': 'guided_anchoring/ga-retinanet_r50-caffe_fpn_1x_coco.py',
    'GA-Faster R-CNN': 'guided_anchoring/ga-faster-rcnn_r50-caffe_fpn_1x_coco.py',
    'CornerNet': 'cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py',
    'CenterNet': 'centernet/centernet_r18_8xb16-crop512-140e_coco.py',
    'YOLOX': 'yolox/yolox_tiny_8xb8-300e_coco.py',
    'YOLOv3': 'yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py',
    'YOLOF': 'yolof/yolof_r50-c5_8xb8-1x_coco.py',
    'RTMDet': 'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    'RTMDet-Ins': 'rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py',
    'DETR': 'detr/detr_r50_8xb2-150e_coco.py',
    'Conditional DETR': 'conditional_detr/conditional-detr_r50_8xb2-50e_coco.py',
    'DAB-DETR': 'dab_detr/dab-detr_r50_8xb2-50e_coco.py',
    'Deformable DETR': 'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    'Deformable DETR, two stages': (
        'deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py'
    ),
    'DDQ': 'ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py',
    'Sparse R-CNN': 'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py',
    'QueryInst': 'queryinst/queryinst_r50_fpn_1x_coco.py',
    'SOLO': 'solo/solo_r50_fpn_1x_coco.py',
    'Decoupled SOLO': 'solo/decoupled-solo_r50_fpn_1x_coco.py',
    'SOLOv2': 'solov2/solov2_r50_fpn_1x_coco.py',
    'YOLACT': 'yolact/yolact_r50_1xb8-55e_coco.py',
    'CondInst': 'condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py',
    'HTC': 'htc/htc_r50_fpn_1x_coco.py',
    'SCNet': 'scnet/scnet_r50_fpn_1x_coco.py',
    'PointRend': 'point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py',
    'MS R-CNN': 'ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco.py',
    'Grid R-CNN': 'grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco.py',
    'Double heads': 'double_heads/dh-faster-rcnn_r50_fpn_1x_coco.py',
    'Libra R-CNN': 'libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco.py',
    'TridentNet': 'tridentnet/tridentnet_r50-caffe_1x_coco.py',
    'Cascade RPN': 'cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco.py',
    'Seesaw': (
        'seesaw_loss/cascade-mask-rcnn_r101_fpn_seesaw-loss-normed-mask_random-ms-2x_lvis-v1.py'
    ),
    'Panoptic FPN': 'panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
    'MaskFormer': 'maskformer/maskformer_r50_ms-16xb1-75e_coco.py',
    'Mask2Former': 'mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
    'Swin': 'swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
    'PVTv2': 'pvt/retinanet_pvtv2-b0_fpn_1x_coco.py',
    'RegNet': 'regnet/retinanet_regnetx-800MF_fpn_1x_coco.py',
    'Res2Net': 'res2net/faster-rcnn_res2net-101_fpn_2x_coco.py',
    'ResNeSt': 'resnest/faster-rcnn_s50_fpn_syncbn-backbone+head_ms-range-1x_coco.py',
    'EfficientNet': 'efficientnet/retinanet_effb3_fpn_8xb4-crop896-1x_coco.py',
    'HRNet': 'hrnet/faster-rcnn_hrnetv2p-w18-1x_coco.py',
    'DyHead': 'dyhead/atss_r50_fpn_dyhead_1x_coco.py',
}
WITH_SEGMENTATION = ('HTC', 'Panoptic FPN', 'MaskFormer', 'SCNet')


def small_detector(config: str) -> nn.Module:
    """A detector of the zoo with a narrow backbone, where that is a ResNet, and random weights."""
    path = f'mmdet::{config}'
    model = ConfigDict(plain(get_config(path).model.to_dict()))
    _narrow(model)
    torch.manual_seed(0)
    detector = MODELS.build(model)
    if 'num_proposals' in model.get('rpn_head', {}):  # Sparse R-CNN's: boxes of the whole image
        detector.rpn_head.init_weights()
    for module in detector.modules():
        if isinstance(module, _BatchNorm):  # such that batch and running statistics differ
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return detector.eval()


def _narrow(model: ConfigDict) -> None:
    """A ResNet of 18 narrow layers in the place of one of 50; few other layers and regions."""
    backbone, necks = model.backbone, model.get('neck')
    if backbone.type == 'ResNet' and backbone.depth > 18 and 'stage_with_dcn' not in backbone:
        backbone.update(depth=18, base_channels=8)
        first = necks[0] if isinstance(necks, list) else necks
        for part in (first, model.get('panoptic_head'), None if necks else model.get('bbox_head')):
            widths = part.get('in_channels') if part else None
            if isinstance(widths, (list, int)):
                listed = isinstance(widths, list)
                part.in_channels = [NARROW[w] for w in widths] if listed else NARROW[widths]
    if 'num_queries' in model:
        model.num_queries = 12  # as many places as there are at least
    for part in ('encoder', 'decoder'):
        if part in model and 'num_layers' in model[part]:
            model[part].num_layers = 2
    stages = (model.get('train_cfg') or {}).get('rcnn') or []
    for stage in [stages] if isinstance(stages, dict) else stages:
        if 'num' in (stage.get('sampler') or {}):
            stage.sampler.num = 32


def batch_for(name: str, detector: nn.Module) -> SelectionImages:
    """Two images of noise with objects, as the detector's own preprocessor gives them."""
    size = 288 if name == 'DDOD' else SIZE  # mmcv's deformable 3 x 3 want as much of each level
    data = demo_mm_inputs(
        2,
        [(3, size, size), (3, size, size)],
        num_items=[3, 2],
        num_classes=2,
        with_mask=name != 'RTMDet',  # mmdet's assigner takes the masks of RTMDet-Ins' data alone
        with_semantic=name in WITH_SEGMENTATION,
    )
    for sample in data['data_samples']:
        sample.gt_instances.labels.zero_()  # every detector knows this class
    data = detector.data_preprocessor(data, False)
    return SelectionImages(data['inputs'], None, data['data_samples'])


def step_by_hand(detector: nn.Module, images: SelectionImages, seed: int = 0) -> Tensor:
    """The loss of a plain training step of a copy, with norms and dropout in eval mode."""
    detector = copy.deepcopy(detector)
    detector.train()
    for module in detector.modules():
        still = (_BatchNorm, _DropoutNd, DropPath, DropBlock, nn.MultiheadAttention)
        if isinstance(module, still):
            module.eval()
    hub: Any = MessageHub.get_current_instance()
    hub.update_info('epoch', 0)
    hub.update_info('iter', 0)
    try:
        with seeded(seed):
            losses = detector(images.inputs, copy.deepcopy(images.data_samples), mode='loss')
    finally:
        del hub.runtime_info['epoch'], hub.runtime_info['iter']
    terms = [value for name, value in losses.items() if 'loss' in name]
    return sum(t.mean() for term in terms for t in (term if isinstance(term, list) else [term]))
