"""VGG-16 with batch norm and a width multiplier: a backbone that small data can fill.

The convolutions are VGG-16's (Simonyan and Zisserman, "Very Deep Convolutional Networks for
Large-Scale Image Recognition", https://arxiv.org/abs/1409.1556, configuration D), each followed
by batch norm and ReLU. A 2x2 max-pooling opens every stage but the first, so that stage ``s``
has stride ``2 ** (s - 1)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmdet_lcp.models.staged_backbone import StagedBackbone
from mmdet_lcp.registry import MODELS

_STAGE_CHANNELS = (64, 128, 256, 512, 512)
_STAGE_DEPTHS = (2, 2, 3, 3, 3)
_DIVISOR = 8


@MODELS.register_module()
class NarrowVGG(StagedBackbone):
    """The thirteen convolutions of VGG-16, narrowed.

    Modules are named as the paper names layers, counted from 0 within a stage: ``conv4_3`` is
    ``stage4.2.conv``, its batch norm ``stage4.2.bn``. Stages after the last tap are not built.

    Args:
        width_mult: Channels of each stage as a share of (64, 128, 256, 512, 512), rounded to a
            multiple of 8 and at least 8; in (0, 4]. 0.25 gives (16, 32, 64, 128, 128).
        out_stages: See `StagedBackbone`; the default returns conv4_3 and conv5_3, at strides 8
            and 16.
        in_channels: Channels of the image; at least 1.
        ceil_mode: Round the sizes of pooled maps up, as SSD does, instead of down.
        norm_cfg: mmcv's norm config; ``None`` for convolutions with biases and no norms.
        keys: `frozen_stages`, `norm_eval`, `init_cfg` of `StagedBackbone`.

    Raises:
        ValueError: An argument is out of its range.

    Shape:
        input ``(N, in_channels, H, W)``; output a tuple with, for every stage ``s`` of
        ``out_stages``, ``(N, C_s, H / 2**(s-1), W / 2**(s-1))``.
    """

    def __init__(
        self,
        width_mult: float = 1.0,
        out_stages: Sequence[int] = (4, 5),
        in_channels: int = 3,
        ceil_mode: bool = True,
        norm_cfg: Mapping[str, Any] | None = MappingProxyType(dict(type='BN')),
        **keys: Any,
    ) -> None:
        if not 0 < width_mult <= 4:
            raise ValueError(f'width_mult must be in (0, 4], got {width_mult}')
        if in_channels < 1:
            raise ValueError(f'in_channels must be at least 1, got {in_channels}')
        super().__init__(len(_STAGE_DEPTHS), out_stages, **keys)
        self.stage_channels = tuple(
            max(_DIVISOR, round(c * width_mult / _DIVISOR) * _DIVISOR) for c in _STAGE_CHANNELS
        )
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=ceil_mode)
        norm_cfg = None if norm_cfg is None else dict(norm_cfg)
        previous = in_channels
        for name, channels, depth in zip(
            self.stage_names, self.stage_channels, _STAGE_DEPTHS, strict=False
        ):
            blocks = []
            for _ in range(depth):
                blocks.append(ConvModule(previous, channels, 3, padding=1, norm_cfg=norm_cfg))
                previous = channels
            self.add_module(name, nn.Sequential(*blocks))
        self.freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of ``out_stages``; see the class for the shapes."""
        outs = []
        for number, name in enumerate(self.stage_names, 1):
            x = getattr(self, name)(x if number == 1 else self.pool(x))
            if number in self.out_stages:
                outs.append(x)
        return tuple(outs)
