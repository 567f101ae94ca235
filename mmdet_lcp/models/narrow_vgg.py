"""VGG-16 with batch norm and a width multiplier: a backbone that small data can fill.

The convolutions are VGG-16's (Simonyan and Zisserman, "Very Deep Convolutional Networks for
Large-Scale Image Recognition", https://arxiv.org/abs/1409.1556, configuration D), each followed
by batch norm and ReLU. A 2x2 max-pooling opens every stage but the first, so that stage ``s``
has stride ``2 ** (s - 1)``.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet_lcp.registry import MODELS

_STAGE_CHANNELS = (64, 128, 256, 512, 512)
_STAGE_DEPTHS = (2, 2, 3, 3, 3)
_DIVISOR = 8


@MODELS.register_module()
class NarrowVGG(BaseModule):
    """The thirteen convolutions of VGG-16, narrowed.

    Modules are named as the paper names layers, counted from 0 within a stage: ``conv4_3`` is
    ``stage4.2.conv``, its batch norm ``stage4.2.bn``. Stages after the last tap are not built.

    Args:
        width_mult: Channels of each stage as a share of (64, 128, 256, 512, 512), rounded to a
            multiple of 8 and at least 8; in (0, 4]. 0.25 gives (16, 32, 64, 128, 128).
        out_stages: The stages whose last feature map is returned, rising, each in 1..5.
            The default returns conv4_3 and conv5_3, at strides 8 and 16.
        in_channels: Channels of the image; at least 1.
        ceil_mode: Round the sizes of pooled maps up, as SSD does, instead of down.
        norm_cfg: mmcv's norm config.
        norm_eval: Keep batch norm's running statistics fixed while training.
        init_cfg: mmengine's initialisation config; Kaiming (fan-out, ReLU) by default.

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
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if not 0 < width_mult <= 4:
            raise ValueError(f'width_mult must be in (0, 4], got {width_mult}')
        stages = tuple(out_stages)
        if not stages or any(s not in range(1, 6) for s in stages):
            raise ValueError(f'out_stages must name stages in 1..5, got {out_stages}')
        if list(stages) != sorted(set(stages)):
            raise ValueError(f'out_stages must rise, got {out_stages}')
        if in_channels < 1:
            raise ValueError(f'in_channels must be at least 1, got {in_channels}')
        if init_cfg is None:
            init_cfg = [
                dict(type='Kaiming', layer='Conv2d', mode='fan_out', nonlinearity='relu'),
                dict(type='Constant', layer='BatchNorm2d', val=1, bias=0),
            ]
        super().__init__(init_cfg=init_cfg)

        self.out_stages = stages
        self.norm_eval = norm_eval
        self.stage_names = tuple(f'stage{stage}' for stage in range(1, stages[-1] + 1))
        self.stage_channels = tuple(
            max(_DIVISOR, round(c * width_mult / _DIVISOR) * _DIVISOR) for c in _STAGE_CHANNELS
        )
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=ceil_mode)
        norm_cfg = norm_cfg or dict(type='BN')
        previous = in_channels
        for stage in range(1, stages[-1] + 1):
            channels = self.stage_channels[stage - 1]
            blocks = []
            for _ in range(_STAGE_DEPTHS[stage - 1]):
                blocks.append(ConvModule(previous, channels, 3, padding=1, norm_cfg=norm_cfg))
                previous = channels
            self.add_module(f'stage{stage}', nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of ``out_stages``; see the class for the shapes."""
        outs = []
        for stage in range(1, self.out_stages[-1] + 1):
            if stage > 1:
                x = self.pool(x)
            x = getattr(self, f'stage{stage}')(x)
            if stage in self.out_stages:
                outs.append(x)
        return tuple(outs)

    def train(self, mode: bool = True) -> NarrowVGG:
        """Set the training mode; with ``norm_eval`` batch norm stays in evaluation mode."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self
