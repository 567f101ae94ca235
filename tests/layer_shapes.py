"""Shapes of layers, for kits that measure them."""

import torch
from torch import nn

from mmdet_lcp.measure.latency_table import LayerShape


def shape_of(layer: nn.Module, *size: int, activation: str | None = None) -> LayerShape:
    channels = getattr(layer, 'in_channels', None) or layer.in_features
    found = LayerShape.of(layer, torch.zeros(1, channels, *size) if size[1:] else size_of(layer))
    return found.with_activation(activation)


def size_of(layer: nn.Linear) -> torch.Tensor:
    return torch.zeros(7, layer.in_features)
