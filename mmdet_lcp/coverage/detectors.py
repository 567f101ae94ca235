"""The detectors of the support table, from their own configs, with random weights."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmdet
import torch
from mmcv.cnn import ConvAWS2d
from mmdet.models.dense_heads import EmbeddingRPNHead
from mmdet.models.necks.ssd_neck import L2Norm
from mmdet.models.roi_heads.bbox_heads import DIIHead
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from mmdet_lcp.config.file import read_config
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.modes import evaluated

REGIONS = 16


@dataclass(frozen=True)
class SupportedDetector:
    """A detector, and how large the images are that it is tried on.

    Attributes:
        name: as people call it.
        config: a config file, or ``'package::path'``.
        size: side of a square image, in pixels.
    """

    name: str
    config: str
    size: int

    @property
    def key(self) -> str:
        """The name in letters, digits and dashes, for file names and the command line."""
        kept = ''.join(c if c.isalnum() else '-' for c in self.name.lower())
        return '-'.join(part for part in kept.split('-') if part)

    @classmethod
    def of_file(cls, config: str, size: int) -> 'SupportedDetector':
        """A detector of somebody's own."""
        return cls(Path(config).stem, config, size)

    def read(self) -> Config:
        """The whole config, with a model that is built from nothing and trains on few regions.

        Raises:
            CompressionError: there is no such config, or it needs what is not on this machine.
        """
        cfg = read_config(self.config)
        if 'model' not in cfg:
            raise CompressionError(f'{self.config} has no `model`: name the config of a detector')
        check_language_model(cfg.model)
        cfg.model = few_regions(plain_model(cfg.model.to_dict()))
        return cfg


DETECTORS = (
    SupportedDetector('SSD300', 'mmdet::ssd/ssd300_coco.py', 300),
    SupportedDetector('SSD512', 'mmdet::ssd/ssd512_coco.py', 512),
    SupportedDetector(
        'SSDLite MobileNetV2', 'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py', 320
    ),
    SupportedDetector(
        'Faster R-CNN R50-FPN', 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 128
    ),
    SupportedDetector(
        'Faster R-CNN R50-C4', 'mmdet::faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py', 128
    ),
    SupportedDetector(
        'Faster R-CNN VGG16', 'mmdet_lcp::faster_rcnn/faster_rcnn_vgg16_voc0712.py', 128
    ),
    SupportedDetector(
        'Cascade R-CNN R50-FPN', 'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py', 128
    ),
    SupportedDetector('Mask R-CNN R50-FPN', 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 128),
    SupportedDetector('RetinaNet R50-FPN', 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', 128),
    SupportedDetector('FCOS R50-FPN', 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', 128),
    SupportedDetector('ATSS R50-FPN', 'mmdet::atss/atss_r50_fpn_1x_coco.py', 128),
    SupportedDetector('YOLOX-s', 'mmdet::yolox/yolox_s_8xb8-300e_coco.py', 128),
    SupportedDetector('RTMDet-s', 'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py', 128),
    SupportedDetector('YOLOv3 D53', 'mmdet::yolo/yolov3_d53_8xb8-320-273e_coco.py', 128),
)


def plain_model(value: Any) -> Any:
    """A `model` without initialisation or fetched weights, and with norms that train on a CPU."""
    if isinstance(value, dict):
        kept = {key: plain_model(item) for key, item in value.items() if key != 'init_cfg'}
        if kept.get('type') == 'SyncBN' and not torch.cuda.is_available():
            kept['type'] = 'BN'
        if 'teacher_ckpt' in kept:  # whose weights would be fetched
            kept['teacher_ckpt'] = None
        if isinstance(path := kept.get('teacher_config'), str):
            kept['teacher_config'] = _in_mmdet(path)
        return kept
    if isinstance(value, (list, tuple)):
        return type(value)(plain_model(item) for item in value)
    return value


def _in_mmdet(path: str) -> str:
    """A config that mmdet's own name as if they lay in its checkout."""
    here = Path(mmdet.__file__).parent / '.mim' / path
    return path if Path(path).exists() or not here.exists() else str(here)


def few_regions(model: dict[str, Any]) -> dict[str, Any]:
    """The same model; heads on regions train on at most `REGIONS` an image (512 take minutes)."""
    stages = (model.get('train_cfg') or {}).get('rcnn') or []
    for stage in [stages] if isinstance(stages, dict) else stages:
        sampler = stage.get('sampler') or {}
        if 'num' in sampler:
            sampler['num'] = min(sampler['num'], REGIONS)
    return model


def check_language_model(model: ConfigDict) -> None:
    """Refuse a detector that reads text where what it reads it with is not on this machine.

    Raises:
        CompressionError: it would be fetched.
    """
    name = (model.get('language_model') or {}).get('name')
    if name is None or Path(name).is_dir():
        return
    raise CompressionError(
        f'it reads text with the language model {name}, which needs the package transformers and '
        'weights that are not fetched here: put them into a folder and say so, '
        'model.language_model.name = FOLDER'
    )


def build(cfg: Config) -> nn.Module:
    """Build a config's model, as it is after `randomise`, in eval mode.

    The config stays as it is: some detectors of mmdet take keys out of theirs.
    """
    with DefaultScope.overwrite_default_scope('mmdet'):
        return randomise(MODELS.build(copy.deepcopy(cfg.model)))


@torch.no_grad()
def randomise(detector: nn.Module, seed: int = 0) -> nn.Module:
    """Give every weight a value at which it matters, and keep activations of order 1.

    Freshly built, many heads write next to nothing, and batch norms do nothing at all: a wrong
    channel would not show.

    Args:
        detector: changed in place.
        seed: of the values.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: torch.Tensor | None, low: float, high: float) -> None:
        if tensor is not None:
            values = torch.rand(tensor.shape, generator=generator) * (high - low) + low
            tensor.copy_(values)

    for module in detector.modules():
        if isinstance(module, (_ConvNd, nn.Linear)):
            fan_in = module.weight[0].numel()
            values = torch.randn(module.weight.shape, generator=generator)
            module.weight.copy_(values * (2 / fan_in) ** 0.5)
            draw(module.bias, -0.3, 0.5)
            if isinstance(module, ConvAWS2d):  # what its standardised kernels are scaled to
                module.weight_gamma.fill_((2 / fan_in) ** 0.5)
        elif isinstance(module, (_BatchNorm, nn.GroupNorm)):
            draw(module.weight, 0.5, 1.0)
            draw(module.bias, -0.5, 0.5)
            draw(getattr(module, 'running_mean', None), -0.5, 0.5)
            draw(getattr(module, 'running_var', None), 0.5, 2.0)
        elif isinstance(module, L2Norm):
            draw(module.weight, 5, 30)
    for module in detector.modules():
        if isinstance(module, EmbeddingRPNHead):  # its boxes: all of the image, as it begins
            module.init_weights()
        if isinstance(module, DIIHead):  # six of them move the same boxes: by little each
            module.fc_reg.weight.mul_(0.01)
            module.fc_reg.bias.mul_(0.01)
    return evaluated(detector)
