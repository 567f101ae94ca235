"""Detectors to export, each from its own config, with random weights whose scores are spread."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from mmdet_lcp.coverage.detectors import DETECTORS, SupportedDetector
from mmdet_lcp.export.graph import samples
from mmdet_lcp.export.scenes import scenes

# Beside those of the support table: name, config, and the side of an image in pixels.
MORE = (
    ('FreeAnchor R50', 'free_anchor/freeanchor_r50_fpn_1x_coco.py', 128),
    ('FSAF R50', 'fsaf/fsaf_r50_fpn_1x_coco.py', 128),
    ('PISA RetinaNet R50', 'pisa/retinanet-r50_fpn_pisa_1x_coco.py', 128),
    ('GFL R50', 'gfl/gfl_r50_fpn_1x_coco.py', 128),
    ('PAA R50', 'paa/paa_r50_fpn_1x_coco.py', 128),
    ('TOOD R50', 'tood/tood_r50_fpn_1x_coco.py', 256),
    ('VFNet R50', 'vfnet/vfnet_r50_fpn_1x_coco.py', 256),
    ('DDOD R50', 'ddod/ddod_r50_fpn_1x_coco.py', 384),
    ('FoveaBox R50', 'foveabox/fovea_r50_fpn_4xb4-1x_coco.py', 128),
    ('YOLOF R50', 'yolof/yolof_r50-c5_8xb8-1x_coco.py', 128),
    ('YOLOX-tiny', 'yolox/yolox_tiny_8xb8-300e_coco.py', 128),
    ('RTMDet-tiny', 'rtmdet/rtmdet_tiny_8xb32-300e_coco.py', 128),
    ('AutoAssign R50', 'autoassign/autoassign_r50-caffe_fpn_1x_coco.py', 128),
    ('NAS-FCOS R50', 'nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco.py', 128),
    ('RepPoints R50', 'reppoints/reppoints-moment_r50_fpn_1x_coco.py', 256),
    ('CenterNet R18', 'centernet/centernet_r18_8xb16-crop512-140e_coco.py', 128),
    ('CenterNet-update R50', 'centernet/centernet-update_r50-caffe_fpn_ms-1x_coco.py', 128),
    ('DETR R50', 'detr/detr_r50_8xb2-150e_coco.py', 128),
    ('Conditional DETR R50', 'conditional_detr/conditional-detr_r50_8xb2-50e_coco.py', 128),
    ('DAB-DETR R50', 'dab_detr/dab-detr_r50_8xb2-50e_coco.py', 128),
    ('Deformable DETR R50', 'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py', 128),
    (
        'Deformable DETR, two stages',
        'deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py',
        256,
    ),
    ('DINO R50, 4 scales', 'dino/dino-4scale_r50_8xb2-12e_coco.py', 256),
    ('Cascade Mask R-CNN R50', 'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py', 128),
    ('Dynamic R-CNN R50', 'dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco.py', 128),
    ('Libra R-CNN R50', 'libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco.py', 128),
    ('Double-Head R-CNN R50', 'double_heads/dh-faster-rcnn_r50_fpn_1x_coco.py', 128),
    ('Faster R-CNN R50, DCN', 'dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py', 128),
    ('Faster R-CNN R50, DCNv2', 'dcnv2/faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py', 128),
    ('Grid R-CNN R50', 'grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco.py', 128),
    ('Sparse R-CNN R50', 'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py', 128),
    ('HTC R50', 'htc/htc_r50_fpn_1x_coco.py', 128),
    ('Mask Scoring R-CNN R50', 'ms_rcnn/ms-rcnn_r50_fpn_1x_coco.py', 128),
    ('Panoptic FPN R50', 'panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py', 128),
    ('CondInst R50', 'condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py', 128),
    ('SABL RetinaNet R50', 'sabl/sabl-retinanet_r50_fpn_1x_coco.py', 128),
    ('GA-RetinaNet R50', 'guided_anchoring/ga-retinanet_r50-caffe_fpn_1x_coco.py', 128),
    ('CornerNet', 'cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py', 127),
)


def known() -> list[SupportedDetector]:
    """The detectors of the support table, and those that only export is tried with."""
    return [*DETECTORS, *(SupportedDetector(n, f'mmdet::{c}', s) for n, c, s in MORE)]


@torch.no_grad()
def calm(detector: nn.Module, size: int) -> nn.Module:
    """Scale each layer so that what it computes has deviation 1: scores spread, none saturate."""
    handles, seen = [], set()

    def scale(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if module in seen or not output.numel() > 1:
            return output
        seen.add(module)
        deviation = output.std().clamp(min=1e-6)
        module.weight /= deviation
        if module.bias is not None:
            module.bias /= deviation
        return output / deviation

    for module in detector.modules():
        if isinstance(module, (_ConvNd, nn.Linear)):
            handles.append(module.register_forward_hook(scale))
    picture = torch.from_numpy(scenes(1, size, size)[0]).permute(2, 0, 1)
    batch = detector.data_preprocessor({'inputs': [picture], 'data_samples': None}, False)
    detector.predict(batch['inputs'], samples(1, (size, size)))
    for handle in handles:
        handle.remove()
    return detector
