"""Steps of a group's channels, worked out by hand, and on detectors that are traced."""

import pytest
import torch
from torch import nn

from mmdet_lcp.graph import find_groups
from mmdet_lcp.pruning.channel_steps import AUTO, step_of


def steps(net: nn.Module, divisor=AUTO) -> dict[str, tuple[int, int]]:
    """(channels, step) of each group, by name."""
    net = net.eval()
    groups = [group for group in find_groups(net, (16, 16)) if not group.obstacle]
    return {group.name: (group.channels, step_of(net, group, divisor)) for group in groups}


@pytest.mark.parametrize(
    ('channels', 'step'),
    [(2, 1), (3, 1), (4, 2), (7, 2), (8, 4), (31, 4), (32, 8), (40, 8), (256, 8)],
)
def test_of_plain_convolutions(channels, step):
    net = nn.Sequential(nn.Conv2d(3, channels, 3), nn.ReLU(), nn.Conv2d(channels, 2, 1))
    assert steps(net) == {'0': (channels, step)}
    assert steps(net, 1) == {'0': (channels, 1)}
    assert steps(net, 3) == {'0': (channels, 3)}


def test_depth_wise_layers_count_with_all_their_channels():
    net = nn.Sequential(
        nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 3, groups=64, padding=1), nn.Conv2d(64, 2, 1)
    )
    assert steps(net) == {'0': (64, 8)}


def test_a_group_of_a_grouped_convolution_is_what_its_kernel_works_on():
    """Four groups: as many go of each, which a unit of four channels is."""

    def net(width):
        return nn.Sequential(
            nn.Conv2d(3, 4 * width, 1),
            nn.ReLU(),
            nn.Conv2d(4 * width, 4 * width, 3, groups=4),
            nn.Conv2d(4 * width, 2, 1),
        )

    for width, step in ((64, 8), (16, 4), (6, 2)):
        found = steps(net(width))
        assert found, width
        for channels, own in found.values():
            assert channels == width  # units, each a channel of each group
            assert own == step


def test_what_is_left_is_a_multiple_everywhere():
    """Whatever number is taken, every convolution's channels step by four at least."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 48, 3), nn.BatchNorm2d(48), nn.ReLU(), nn.Conv2d(48, 96, 3, groups=2),
        nn.BatchNorm2d(96), nn.Conv2d(96, 96, 3, groups=96), nn.Conv2d(96, 8, 1), nn.ReLU(),
        nn.Conv2d(8, 2, 1),
    ).eval()  # fmt: skip
    for group in find_groups(net, (16, 16)):
        if group.obstacle:
            continue
        step = step_of(net, group, AUTO)
        for member in (*group.producers, *group.consumers):
            module = net.get_submodule(member.path)
            each = len(member.index) // group.channels
            assert (step * each // module.groups) % 4 == 0
