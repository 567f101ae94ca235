"""What a trace knows of modules without a rule: their parameters, and maps they lose."""

import pytest
import torch
from torch import nn
from toys import Toy, by_name


class Scaled(nn.Module):
    """One value a channel, as a parameter and as a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(4, 1, 1))
        self.register_buffer('offset', torch.ones(4, 1, 1))


class Blind(nn.Module):
    """Like mmcv's compiled operations, which PyTorch's dispatcher does not see."""

    def forward(self, x):
        return torch.from_numpy(x.numpy() * 2)


UNKNOWN = {
    'a parameter': (
        lambda m, x: x * m.other.gamma, 'other.gamma (Scaled) is a parameter with a value for each'
    ),
    'a parameter in another shape': (
        lambda m, x: x * m.other.gamma.view(1, 4, 1, 1).relu(),
        'other.gamma (Scaled) is a parameter with a value for each',
    ),
    'a buffer': (
        lambda m, x: x + m.other.offset,
        'other.offset (Scaled) is a parameter with a value for each',
    ),
    'an operation out of sight': (
        lambda m, x: m.blind(x), 'blind is a Blind, whose computation cannot be followed'
    ),
}  # fmt: skip


@pytest.mark.parametrize(('operation', 'reason'), UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_followed_stays(operation, reason):
    model = Toy(
        lambda m, x: m.out(operation(m, m.a(x))),
        a=nn.Conv2d(3, 4, 1), other=Scaled(), blind=Blind(), out=nn.Conv2d(4, 2, 1),
    )  # fmt: skip
    assert reason in by_name(model)['a'].obstacle


def test_scalars_and_spatial_masks_tie_nothing():
    model = Toy(
        lambda m, x: m.out(m.a(x) * m.scale * m.mask), a=nn.Conv2d(3, 4, 1), out=nn.Conv2d(4, 2, 1)
    )
    model.scale = nn.Parameter(torch.tensor(2.0))
    model.mask = nn.Parameter(torch.rand(8, 8))
    group = by_name(model)['a']
    assert (group.channels, group.obstacle, group.kinds) == (4, None, ('single',))
