"""Models of a few layers, with mmdet's forward."""

import torch
from torch import nn

from mmdet_lcp.graph import ChannelGroup, Member, find_groups


class Toy(nn.Module):
    """Calls a function in the place of mmdet's forward."""

    def __init__(self, forward, **modules) -> None:
        super().__init__()
        self._forward = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self._forward(self, inputs)


def by_name(model: nn.Module, size: tuple[int, int] = (8, 8)) -> dict[str, ChannelGroup]:
    """A model's groups."""
    return {group.name: group for group in find_groups(model, size)}


def paths(members: tuple[Member, ...]) -> list[str]:
    """Of which layers they are."""
    return [member.path for member in members]


class Chain(nn.Sequential):
    """Layers one after the other, called as a detector is."""

    def forward(self, inputs: torch.Tensor, mode: str = 'tensor') -> torch.Tensor:
        return super().forward(inputs)


def chain() -> Chain:
    """Groups behind 0, 1, 2 and 3; those of 1 and 2 are of one make, 3 has a batch norm."""
    convs = [nn.Conv2d(a, b, k, padding=k // 2) for a, b, k in
             [(3, 4, 3), (4, 6, 1), (6, 6, 1), (6, 5, 1), (5, 2, 3)]]  # fmt: skip
    return Chain(*convs[:4], nn.BatchNorm2d(5), convs[4])
