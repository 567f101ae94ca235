"""Models of a few layers, with mmdet's forward."""

from torch import nn

from mmdet_lcp.structure import ChannelGroup, Member, find_groups


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
