"""How much the default takes away, against the kernels counted by hand."""

import dataclasses

import pytest
from torch import nn

from mmdet_lcp.coverage.default import default_removal
from mmdet_lcp.graph import find_groups


def net(last: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, last, 3, padding=1),
    )


def test_half_goes():
    model = net(8)
    removed, holds = default_removal(model, find_groups(model, (8, 8)), (8, 8))
    assert 0.5 <= removed < 0.6 and holds == ''


def test_what_holds_the_rest():
    """The second layer keeps its outputs, and the third reads all of them."""
    model = net(512)
    groups = find_groups(model, (8, 8))
    groups = [
        dataclasses.replace(g, obstacle='somebody wants it') if g.name == '2' else g
        for g in groups
    ]
    removed, holds = default_removal(model, groups, (8, 8))
    left = 3 * 16 + 16 * 64 + 64 * 512  # of 64 channels 16 stay: no more than 0.8 may go
    assert removed == pytest.approx(1 - left / (3 * 64 + 64 * 64 + 64 * 512), abs=1e-6)
    assert holds.startswith('most of what is left lies in 4: 0.8')


def test_nothing_can_go():
    model = nn.Sequential(nn.Conv2d(3, 8, 1))
    removed, holds = default_removal(model, find_groups(model, (8, 8)), (8, 8))
    assert removed == 0 and holds
