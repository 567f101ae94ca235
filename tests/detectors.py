"""mmdet's detectors of many families, from their own configs, a few channels wide."""

from collections.abc import Callable
from typing import Any

import torch
from mmdet.models.dense_heads import EmbeddingRPNHead
from mmdet.models.necks.ssd_neck import L2Norm
from mmdet.models.roi_heads.bbox_heads import DIIHead
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_leaves

import mmdet_lcp  # noqa: F401

register_all_modules()

SIZE = 64
CLASSES = 3
RESNET = dict(depth=18, base_channels=8, frozen_stages=-1)
WIDTHS = [8, 16, 32, 64]


def plain(value: Any) -> Any:
    """A config without initialisation, and with batch norms that run on the CPU."""
    if isinstance(value, dict):
        kept = {key: plain(item) for key, item in value.items() if key != 'init_cfg'}
        if kept.get('type') == 'SyncBN':
            kept['type'] = 'BN'
        return kept
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    return value


def two_stage(model: ConfigDict) -> None:
    model.backbone.update(RESNET)
    model.neck.update(in_channels=WIDTHS, out_channels=12)
    model.rpn_head.update(in_channels=12, feat_channels=16)
    head = model.roi_head
    head.bbox_roi_extractor.update(out_channels=12)
    for each in head.bbox_head if isinstance(head.bbox_head, list) else [head.bbox_head]:
        each.update(in_channels=12, fc_out_channels=24, num_classes=CLASSES)
    if 'mask_head' in head:
        head.mask_roi_extractor.update(out_channels=12)
        head.mask_head.update(in_channels=12, conv_out_channels=16, num_classes=CLASSES)


def retinanet(model: ConfigDict) -> None:
    one_stage(model)
    model.bbox_head.update(stacked_convs=2)


def one_stage(model: ConfigDict) -> None:
    model.backbone.update(RESNET)
    model.neck.update(in_channels=WIDTHS, out_channels=16)
    model.bbox_head.update(
        in_channels=16, feat_channels=64, num_classes=CLASSES, stacked_convs=2
    )  # 64: group norms have 32 groups


def yolox(model: ConfigDict) -> None:
    model.backbone.update(widen_factor=0.125)
    model.neck.update(in_channels=[32, 64, 128], out_channels=24)
    model.bbox_head.update(in_channels=24, feat_channels=16, num_classes=CLASSES)


def rtmdet(model: ConfigDict) -> None:
    model.backbone.update(widen_factor=0.125)
    model.neck.update(in_channels=[32, 64, 128], out_channels=24)
    model.bbox_head.update(in_channels=24, feat_channels=16, num_classes=CLASSES)


def ssdlite(model: ConfigDict) -> None:
    model.backbone.update(widen_factor=0.25)
    widths = (24, 1280, 32, 16, 16, 16)
    model.neck.update(in_channels=widths[:2], out_channels=widths)
    model.bbox_head.update(in_channels=widths, num_classes=CLASSES)


def resnext(model: ConfigDict) -> None:
    one_stage(model)
    model.backbone.update(
        type='ResNeXt', depth=50, groups=4, base_width=4, base_channels=16, num_stages=4
    )
    model.neck.update(in_channels=[64, 128, 256, 512])


def few_regions(model: ConfigDict) -> None:
    """Heads of masks train on 512 regions otherwise."""
    stages = model.train_cfg.rcnn
    for stage in stages if isinstance(stages, list) else [stages]:
        stage.sampler.num = 16
    model.test_cfg.rcnn.max_per_img = 10


def sparse(model: ConfigDict) -> None:
    model.backbone.update(RESNET)
    model.neck.update(in_channels=WIDTHS, out_channels=16)
    model.rpn_head.update(num_proposals=12, proposal_feature_channel=16)
    head = model.roi_head
    head.update(num_stages=2, stage_loss_weights=[1, 1])
    model.train_cfg.rcnn = model.train_cfg.rcnn[:2]
    model.test_cfg.rcnn.max_per_img = 12
    for name in ('bbox', 'mask'):
        if f'{name}_head' in head:
            head[f'{name}_roi_extractor'].update(out_channels=16)
            head[f'{name}_head'] = head[f'{name}_head'][:2]
    for each in head.bbox_head:
        each.update(num_classes=CLASSES, num_heads=2, feedforward_channels=32, in_channels=16)
        each.dynamic_conv_cfg.update(in_channels=16, feat_channels=8, out_channels=16)
    for each in head.get('mask_head', []):
        each.update(num_classes=CLASSES, num_convs=2, in_channels=16, conv_out_channels=16)
        each.dynamic_conv_cfg.update(in_channels=16, feat_channels=8, out_channels=16)


def cascade_rpn(model: ConfigDict) -> None:
    model.backbone.update(RESNET)
    model.backbone.pop('norm_cfg')
    model.neck.update(in_channels=WIDTHS, out_channels=12)
    for stage in model.rpn_head.stages:
        stage.update(in_channels=12, feat_channels=12)
    model.roi_head.bbox_roi_extractor.update(out_channels=12)
    model.roi_head.bbox_head.update(in_channels=12, fc_out_channels=24, num_classes=CLASSES)


def panoptic(model: ConfigDict) -> None:
    two_stage(model)
    model.semantic_head.update(in_channels=12, inner_channels=64, num_things_classes=CLASSES)
    model.panoptic_fusion_head.update(num_things_classes=CLASSES)


def point_rend(model: ConfigDict) -> None:
    model.backbone.update(RESNET)
    model.neck.update(in_channels=WIDTHS, out_channels=12)
    model.rpn_head.update(in_channels=12, feat_channels=16)
    head = model.roi_head
    head.bbox_roi_extractor.update(out_channels=12)
    head.bbox_head.update(in_channels=12, fc_out_channels=24, num_classes=CLASSES)
    head.mask_roi_extractor.update(out_channels=12)
    head.mask_head.update(in_channels=12, conv_out_channels=12, fc_out_channels=24)
    head.mask_head.update(num_classes=CLASSES)
    head.point_head.update(in_channels=12, fc_channels=16, num_classes=CLASSES)
    model.test_cfg.rcnn.update(subdivision_steps=2)
    few_regions(model)


def htc(model: ConfigDict) -> None:
    head = model.roi_head
    masks = head.pop('mask_head')
    two_stage(model)
    head.mask_head = masks
    head.mask_roi_extractor.update(out_channels=12)
    for each in masks:
        each.update(in_channels=12, conv_out_channels=12, num_convs=1, num_classes=CLASSES)
    head.semantic_roi_extractor.update(out_channels=12)
    head.semantic_head.update(in_channels=12, conv_out_channels=12, num_convs=1, num_classes=5)
    few_regions(model)


def instances(model: ConfigDict) -> None:
    """CondInst, BoxInst."""
    model.backbone.update(RESNET)
    model.neck.update(in_channels=WIDTHS, out_channels=16)
    model.bbox_head.update(
        in_channels=16, feat_channels=64, num_classes=CLASSES, stacked_convs=1
    )  # 64: group norms have 32 groups
    model.mask_head.mask_feature_head.update(in_channels=16, feat_channels=16, num_stacked_convs=1)
    model.mask_head.update(max_masks_to_train=20)


def yolact(model: ConfigDict) -> None:
    model.backbone.update(RESNET)
    model.backbone.pop('zero_init_residual', None)
    model.neck.update(in_channels=WIDTHS, out_channels=16)
    model.bbox_head.update(in_channels=16, feat_channels=16, num_classes=CLASSES)
    model.mask_head.update(
        in_channels=16, proto_channels=(16, None, 16, 32), proto_kernel_sizes=(3, -2, 3, 1),
        num_classes=CLASSES,
    )  # fmt: skip


def solo(model: ConfigDict) -> None:
    model.backbone.update(RESNET)
    model.neck.update(in_channels=WIDTHS, out_channels=16)
    model.mask_head.update(
        in_channels=16, feat_channels=32, stacked_convs=1, num_classes=CLASSES,
        num_grids=[8, 6, 5, 4, 3],
    )  # fmt: skip


FAMILIES: dict[str, tuple[str, Callable[[ConfigDict], None]]] = {
    'faster_rcnn': ('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', two_stage),
    'cascade_rcnn': ('cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py', two_stage),
    'mask_rcnn': ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', two_stage),
    'retinanet': ('retinanet/retinanet_r50_fpn_1x_coco.py', retinanet),
    'fcos': ('fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', one_stage),
    'atss': ('atss/atss_r50_fpn_1x_coco.py', one_stage),
    'yolox': ('yolox/yolox_s_8xb8-300e_coco.py', yolox),
    'rtmdet': ('rtmdet/rtmdet_s_8xb32-300e_coco.py', rtmdet),
    'ssdlite': ('ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py', ssdlite),
    'retinanet_resnext': ('retinanet/retinanet_r50_fpn_1x_coco.py', resnext),
}


# In mode='tensor' mmdet runs only a part of these, or none of them without annotations.
PARTLY_RUN: dict[str, tuple[str, Callable[[ConfigDict], None]]] = {
    'sparse_rcnn': ('sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py', sparse),
    'queryinst': ('queryinst/queryinst_r50_fpn_1x_coco.py', sparse),
    'cascade_rpn': ('cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco.py', cascade_rpn),
    'panoptic_fpn': ('panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py', panoptic),
    'point_rend': ('point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py', point_rend),
    'htc': ('htc/htc_r50_fpn_1x_coco.py', htc),
    'condinst': ('condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py', instances),
    'yolact': ('yolact/yolact_r50_1xb8-55e_coco.py', yolact),
    'solo': ('solo/solo_r50_fpn_1x_coco.py', solo),
}


def tiny_model(family: str) -> ConfigDict:
    """The `model` of a config."""
    name, narrow = (FAMILIES | PARTLY_RUN)[family]
    model = ConfigDict(plain(get_config(f'mmdet::{name}').model.to_dict()))
    narrow(model)
    return model


def tiny_detector(family: str) -> nn.Module:
    """A detector with random values everywhere, in eval mode."""
    torch.manual_seed(0)
    return randomise(MODELS.build(tiny_model(family)))


@torch.no_grad()
def randomise(detector: nn.Module, seed: int = 0) -> nn.Module:
    """Values at which every module matters, and activations that stay of order 1."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor, low, high):
        if tensor is not None:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    for module in detector.modules():
        if isinstance(module, (_ConvNd, nn.Linear)):
            fan_in = module.weight[0].numel()
            module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            draw(module.bias, -0.3, 0.5)
        elif isinstance(module, (_BatchNorm, nn.GroupNorm)):
            draw(module.weight, 0.5, 1.0)
            draw(module.bias, -0.5, 0.5)
            draw(getattr(module, 'running_mean', None), -0.5, 0.5)
            draw(getattr(module, 'running_var', None), 0.5, 2.0)
        elif isinstance(module, L2Norm):
            draw(module.weight, 5, 30)
        elif isinstance(module, EmbeddingRPNHead):  # centres and sides as parts of the image
            draw(module.init_proposal_bboxes.weight, 0.3, 0.6)
    for module in detector.modules():
        if isinstance(module, DIIHead):  # boxes that stay where they are, nearly
            module.fc_reg.weight.mul_(0.01)
    return detector.eval()


def noise(size: int = SIZE, images: int = 2, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(images, 3, size, size, generator=generator, dtype=dtype)


def tensors(outputs: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]


def distance(found, expected) -> float:
    """Largest difference of any output, relative to that output's largest value."""
    pairs = zip(tensors(found), tensors(expected), strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs if b.numel())
