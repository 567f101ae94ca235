"""MobileNet v1: depth-wise 3x3 and point-wise 1x1 convolutions instead of full ones.

Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications,
https://arxiv.org/abs/1704.04861, table 1. Written here because mmdet has only its successor, and
timm, which has this network, needs torchvision; timm's ImageNet weights load all the same
(`mobilenet_v1_timm`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from torch import nn

from mmdet_lcp.models.mobilenet_v1_timm import rename_timm
from mmdet_lcp.models.staged_backbone import StagedBackbone
from mmdet_lcp.registry import MODELS

# (stride, channels) of the depth-wise separable blocks of each stage; the first convolution,
# of stride 2 and 32 channels, opens stage 1.
_STEM = 32
_STAGES = (
    ((1, 64),),
    ((2, 128), (1, 128)),
    ((2, 256), (1, 256)),
    ((2, 512), *((1, 512),) * 5),
    ((2, 1024), (1, 1024)),
)
_DIVISOR = 8


@MODELS.register_module()
class MobileNetV1(StagedBackbone):
    """The convolutions of MobileNet v1, without the classifier.

    Stage ``s`` has stride ``2 ** s``. What the paper and SSD call conv11 and conv13 are the
    outputs of stages 4 and 5. Every convolution is followed by batch norm and an activation.

    Args:
        width_mult: The paper's width multiplier alpha, in (0, 4]; channels are rounded to a
            multiple of 8, at least 8.
        out_stages: See `StagedBackbone`; the default returns conv11 and conv13, at strides 16
            and 32.
        in_channels: Channels of the image; at least 1.
        norm_cfg: mmcv's norm config.
        act_cfg: mmcv's activation config; the paper has ReLU, timm's weights were trained with
            ``dict(type='ReLU6')``.
        keys: `frozen_stages`, `norm_eval`, `init_cfg` of `StagedBackbone`. With
            ``init_cfg=dict(type='Pretrained', checkpoint=...)`` the file may hold the weights of
            timm's ``mobilenetv1_100``, or with ``width_mult=1.25`` of its ``mobilenetv1_125``.

    Raises:
        ValueError: An argument is out of its range.
        CompressionError: When loading, timm's weights are those of another width.

    Shape:
        input ``(N, in_channels, H, W)``; output a tuple with, for every stage ``s`` of
        ``out_stages``, ``(N, C_s, H / 2**s, W / 2**s)``, rounded up.
    """

    def __init__(
        self,
        width_mult: float = 1.0,
        out_stages: Sequence[int] = (4, 5),
        in_channels: int = 3,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        **keys: Any,
    ) -> None:
        if not 0 < width_mult <= 4:
            raise ValueError(f'width_mult must be in (0, 4], got {width_mult}')
        if in_channels < 1:
            raise ValueError(f'in_channels must be at least 1, got {in_channels}')
        super().__init__(len(_STAGES), out_stages, **keys)
        layer = dict(norm_cfg=norm_cfg or dict(type='BN'), act_cfg=act_cfg or dict(type='ReLU'))
        previous = _width(_STEM, width_mult)
        stem = ConvModule(in_channels, previous, 3, stride=2, padding=1, **layer)
        for number, (name, blocks) in enumerate(zip(self.stage_names, _STAGES, strict=False)):
            modules: list[nn.Module] = [] if number else [stem]
            for stride, channels in blocks:
                width = _width(channels, width_mult)
                modules.append(
                    DepthwiseSeparableConvModule(
                        previous, width, 3, stride=stride, padding=1, **layer
                    )
                )
                previous = width
            self.add_module(name, nn.Sequential(*modules))
        self.register_load_state_dict_pre_hook(rename_timm)
        self.freeze()


def _width(channels: int, width_mult: float) -> int:
    return max(_DIVISOR, round(channels * width_mult / _DIVISOR) * _DIVISOR)
