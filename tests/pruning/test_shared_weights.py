"""Layers that share a tensor are named where they keep a group from being pruned."""

from torch import nn

from mmdet_lcp.graph import ChannelGroup, Member
from mmdet_lcp.pruning.shared_weights import with_ties


def group(name, paths, obstacle=None):
    members = [Member(path, 'out_channels', (0, 1), (0, 1)) for path in paths]
    return ChannelGroup(name, 2, tuple(members[:1]), (), tuple(members[1:]), obstacle)


def test_only_obstacles_of_their_groups():
    net = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.ReLU())
    net[2].weight, net[2].bias = net[1].weight, net[1].bias
    groups = [
        group('0', ['0', '1'], 'it fails'),
        group('1', ['1', '2']),
        group('3', ['3'], 'it fails'),
    ]
    assert [one.obstacle for one in with_ties(net, groups)] == [
        'it fails (1 and 2 share one tensor)',
        None,
        'it fails',
    ]
