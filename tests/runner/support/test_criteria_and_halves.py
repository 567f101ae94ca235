"""Which groups a criterion is tried on, and which channels go first: on layers made by hand."""

import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.runner.support.criteria import _reason, of_each_make
from mmdet_lcp.runner.support.trial import _halved
from mmdet_lcp.structure import find_groups


class Chain(nn.Sequential):
    """Layers one after the other, called as a detector is."""

    def forward(self, inputs: torch.Tensor, mode: str = 'tensor') -> torch.Tensor:
        return super().forward(inputs)


def chain() -> Chain:
    """Groups behind 0, 1, 2 and 4; those of 1 and 2 are of one make, 4 has a batch norm."""
    convs = [nn.Conv2d(a, b, k, padding=k // 2) for a, b, k in
             [(3, 4, 3), (4, 6, 1), (6, 6, 1), (6, 5, 1), (5, 2, 3)]]  # fmt: skip
    return Chain(*convs[:4], nn.BatchNorm2d(5), convs[4])


def test_one_group_of_each_make():
    detector = chain()
    groups = [g for g in find_groups(detector, (8, 8)) if g.obstacle is None]
    assert [group.name for group in groups] == ['0', '1', '2', '3']
    # 0 is written by a 3x3 kernel, 3 read by one, behind a batch norm
    assert [group.name for group in of_each_make(detector, groups)] == ['0', '1', '3']


def test_the_smallest_filters_go():
    detector = chain()
    groups = {g.name: g for g in find_groups(detector, (8, 8))}
    with torch.no_grad():
        for factor, row in zip([3.0, 1.0, -4.0, 0.5], detector[0].weight, strict=True):
            row.fill_(factor)
        for factor, row in zip([1.0, 2.0, 3.0, 4.0, 5.0], detector[3].weight, strict=True):
            row.fill_(factor)
    plan = _halved(detector, [groups['0'], groups['3']])
    assert plan.modules['0']['out_channels'].keep == (0, 2)
    assert plan.modules['1']['in_channels'].keep == (0, 2)
    assert plan.modules['3']['out_channels'].keep == (2, 3, 4)  # two of five go
    assert plan.modules['4']['out_channels'].keep == (2, 3, 4)
    assert plan.modules['5']['in_channels'].keep == (2, 3, 4)
    assert '2' not in plan.modules


@pytest.mark.parametrize(
    ('message', 'reason'),
    [
        ('neck.conv: it is odd. Leave it out.', 'it is odd'),
        ('pruning.attachment: it reads a.b, a Linear.', 'it reads a.b, a Linear'),
        ('It has no anchors: take another.', 'It has no anchors: take another'),
        ('Nothing works.', 'Nothing works'),
    ],
)  # fmt: skip
def test_reasons_begin_behind_what_they_are_about(message, reason):
    assert _reason(CompressionError(message)) == reason
