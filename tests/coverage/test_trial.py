"""What a trial removes; its steps are tried by tools/support_table.py's test."""

import torch
from toys import chain

from mmdet_lcp.coverage.trial import _halved
from mmdet_lcp.graph import find_groups


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
