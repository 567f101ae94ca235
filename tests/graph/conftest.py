"""Real detectors with random values everywhere, wide and narrow."""

from pathlib import Path

import pytest
import torch
from mmdet.models.necks.ssd_neck import L2Norm
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

import mmdet_lcp  # noqa: F401
from mmdet_lcp.graph import find_groups

register_all_modules()

MODEL_CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_' / 'models'
SMALL = 96


def model_config(name: str) -> dict:
    model = Config.fromfile(MODEL_CONFIGS / f'{name}.py').model
    model.backbone.pop('init_cfg', None)  # no download
    return model


@torch.no_grad()
def randomise(detector: nn.Module) -> nn.Module:
    """Values at which every module matters, and activations that stay of order 1."""
    generator = torch.Generator().manual_seed(0)

    def draw(tensor, low, high):
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    for module in detector.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            if module.bias is not None:
                draw(module.bias, -0.3, 0.5)
        elif isinstance(module, nn.BatchNorm2d):
            draw(module.weight, 0.5, 1.5)
            draw(module.bias, -0.5, 0.5)
            draw(module.running_mean, -0.5, 0.5)
            draw(module.running_var, 0.5, 2.0)
        elif isinstance(module, L2Norm):
            draw(module.weight, 5, 30)
    return detector.eval()


def narrow_ssd300_vgg16() -> nn.Module:
    """SSD300 on VGG-16 with an eighth of all widths; modules and paths are the same.

    All levels are padded, so that small images do.
    """
    model = model_config('ssd300_vgg16')
    widths = (64, 128, 64, 32, 32, 32)
    model.neck.update(in_channels=widths[:2], out_channels=widths, level_paddings=(1, 1, 1, 1))
    model.bbox_head.update(in_channels=widths, num_classes=2)
    detector = MODELS.build(model)
    features = detector.backbone.features
    for index, conv in enumerate(features):
        if isinstance(conv, nn.Conv2d):
            features[index] = nn.Conv2d(
                3 if index == 0 else conv.in_channels // 8,
                conv.out_channels // 8,
                conv.kernel_size,
                padding=conv.padding,
                dilation=conv.dilation,
            )
    return detector


def narrow_ssd300_r50() -> nn.Module:
    model = model_config('ssd300_r50')
    model.backbone.base_channels = 8
    widths = (128, 64, 64, 32, 32, 32)
    model.neck.update(in_channels=widths[:1], out_channels=widths, level_paddings=(1, 1, 1, 1, 1))
    model.bbox_head.update(in_channels=widths, num_classes=2)
    return MODELS.build(model)


class Case:
    """A detector, the size of its images, and its groups."""

    def __init__(self, detector: nn.Module, size: int) -> None:
        self.detector = randomise(detector)
        self.size = size
        self.groups = find_groups(self.detector, (size, size))
        self.by_name = {group.name: group for group in self.groups}
        self.prunable = [group for group in self.groups if group.obstacle is None]

    def image(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        dtype = next(self.detector.parameters()).dtype
        return torch.rand(1, 3, self.size, self.size, generator=generator).to(dtype) * 4 - 2


@pytest.fixture(scope='session')
def vgg() -> Case:
    return Case(MODELS.build(model_config('ssd300_vgg16')), 300)


@pytest.fixture(scope='session')
def r50() -> Case:
    return Case(MODELS.build(model_config('ssd300_r50')), 300)


@pytest.fixture(scope='session')
def small() -> Case:
    return Case(MODELS.build(model_config('ssd_narrow_vgg')), SMALL)


@pytest.fixture(scope='session')
def narrow_vgg() -> Case:
    return Case(narrow_ssd300_vgg16().double(), SMALL)


@pytest.fixture(scope='session')
def narrow_r50() -> Case:
    return Case(narrow_ssd300_r50().double(), SMALL)


@pytest.fixture(scope='session')
def small_r18() -> Case:
    return Case(MODELS.build(model_config('ssd_r18_narrow')).double(), SMALL)
