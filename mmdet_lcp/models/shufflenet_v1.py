"""ShuffleNet v1: grouped 1x1 convolutions, with a shuffle of the channels between them.

Zhang et al., ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices,
CVPR 2018, https://arxiv.org/abs/1707.01083, section 3 and table 1. Neither mmdet nor timm has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmdet_lcp.models.staged_backbone import StagedBackbone
from mmdet_lcp.registry import MODELS

# Channels of stage 2 for each number of groups (table 1); they double with every stage.
STAGE2_CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
_STEM = 24
_UNITS = (4, 8, 4)


class ChannelShuffle(nn.Module):
    """Let every group of the next layer read from all groups of the one before (section 3.1).

    Channel ``i * n + j`` of g groups of n channels becomes channel ``j * g + i``.

    Args:
        groups: g, >= 1; divides the channels.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` with its channels in another order."""
        n, channels, height, width = x.shape
        x = x.view(n, self.groups, channels // self.groups, height, width)
        return x.transpose(1, 2).reshape(n, channels, height, width)


class ShuffleUnit(nn.Module):
    """A residual unit: grouped 1x1, shuffle, depth-wise 3x3, grouped 1x1 (figure 2b and c).

    With stride 2 the way around is an average-pooling, whose channels stand before the others.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; a quarter of them between the 1x1 convolutions.
        stride: 1 or 2.
        groups: Of the 1x1 convolutions.
        first_groups: Of the first one (1 at the beginning of stage 2, whose input is narrow).
        norm_cfg: mmcv's norm config.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        groups: int,
        first_groups: int,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        self.stride = stride
        inner = out_channels // 4
        last = out_channels - in_channels if stride == 2 else out_channels
        layer: dict[str, Any] = dict(norm_cfg=norm_cfg)
        self.compress = ConvModule(in_channels, inner, 1, groups=first_groups, **layer)
        self.shuffle = ChannelShuffle(groups)
        self.depthwise = ConvModule(
            inner, inner, 3, stride=stride, padding=1, groups=inner, act_cfg=None, **layer
        )
        self.expand = ConvModule(inner, last, 1, groups=groups, act_cfg=None, **layer)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, H / stride, W / stride)``."""
        out = self.expand(self.depthwise(self.shuffle(self.compress(x))))
        if self.pool is None:
            return self.relu(x + out)
        return self.relu(torch.cat([self.pool(x), out], dim=1))


@MODELS.register_module()
class ShuffleNetV1(StagedBackbone):
    """The convolutions of ShuffleNet v1, without the classifier.

    Stages are the paper's, stage 1 being the first convolution and the max-pooling; stage ``s``
    has stride ``2 ** (s + 1)``.

    Args:
        groups: Of the 1x1 convolutions: 1, 2, 3, 4 or 8.
        width_mult: The paper's scale s ("ShuffleNet s x") of all layers, in (0, 4]; channels are
            rounded to a multiple of four times the groups, those of the first convolution to one
            of the groups.
        out_stages: See `StagedBackbone`, in 1..4; the default returns stages 3 and 4, at strides
            16 and 32.
        in_channels: Channels of the image; at least 1.
        norm_cfg: mmcv's norm config.
        keys: `frozen_stages`, `norm_eval`, `init_cfg` of `StagedBackbone`.

    Raises:
        ValueError: An argument is out of its range.

    Shape:
        input ``(N, in_channels, H, W)``; output a tuple with, for every stage ``s`` of
        ``out_stages``, ``(N, C_s, H / 2**(s+1), W / 2**(s+1))``, rounded up.
    """

    def __init__(
        self,
        groups: int = 3,
        width_mult: float = 1.0,
        out_stages: Sequence[int] = (3, 4),
        in_channels: int = 3,
        norm_cfg: dict | None = None,
        **keys: Any,
    ) -> None:
        if groups not in STAGE2_CHANNELS:
            raise ValueError(f'groups must be one of {list(STAGE2_CHANNELS)}, got {groups}')
        if not 0 < width_mult <= 4:
            raise ValueError(f'width_mult must be in (0, 4], got {width_mult}')
        if in_channels < 1:
            raise ValueError(f'in_channels must be at least 1, got {in_channels}')
        super().__init__(1 + len(_UNITS), out_stages, **keys)
        norm_cfg = norm_cfg or dict(type='BN')
        widths = [STAGE2_CHANNELS[groups] * 2**i for i in range(len(_UNITS))]
        self.stage_channels = (
            _width(_STEM, width_mult, groups),
            # The quarter between the 1x1 convolutions has to divide as well.
            *(_width(channels, width_mult, 4 * groups) for channels in widths),
        )
        stem = self.stage_channels[0]
        self.add_module(
            'stage1',
            nn.Sequential(
                ConvModule(in_channels, stem, 3, stride=2, padding=1, norm_cfg=norm_cfg),
                nn.MaxPool2d(3, stride=2, padding=1),
            ),
        )
        for number, name in enumerate(self.stage_names[1:], 1):
            previous, width = self.stage_channels[number - 1], self.stage_channels[number]
            if width <= previous:
                raise ValueError(
                    f'width_mult={width_mult} with groups={groups} leaves stage {number + 1} '
                    f'{width} channels, which must be more than the {previous} before it'
                )
            units = []
            for unit in range(_UNITS[number - 1]):
                first_groups = 1 if (number, unit) == (1, 0) else groups
                stride = 1 if unit else 2
                source = width if unit else previous
                units.append(ShuffleUnit(source, width, stride, groups, first_groups, norm_cfg))
            self.add_module(name, nn.Sequential(*units))
        self.freeze()


def _width(channels: int, width_mult: float, divisor: int) -> int:
    """A multiple of the divisor, at least one times it."""
    return max(divisor, round(channels * width_mult / divisor) * divisor)
