"""Which channels norms and the like scale: expectations by hand."""

import torch
from mmdet.models.necks.ssd_neck import L2Norm
from torch import nn
from toys import Toy, by_name, paths

from mmdet_lcp.graph.layer_kinds import kind_of


def test_a_group_norm_loses_whole_groups():
    model = Toy(
        lambda m, x: m.out(m.norm(m.a(x))),
        a=nn.Conv2d(3, 12, 1), norm=nn.GroupNorm(3, 12), out=nn.Conv2d(12, 2, 1),
    )  # fmt: skip
    group = by_name(model)['a']
    assert (group.channels, group.unit, group.obstacle) == (3, 4, None)
    assert all(m.root == tuple(i // 4 for i in range(12)) for m in group.members)


def test_of_several_blocks_the_coarsest_counts():
    model = Toy(
        lambda m, x: m.out(m.norm(m.grouped(m.a(x)))),
        a=nn.Conv2d(3, 8, 1),
        grouped=nn.Conv2d(8, 8, 1, groups=4),
        norm=nn.GroupNorm(2, 8),
        out=nn.Conv2d(8, 2, 1),
    )
    group = by_name(model)['a']
    assert (group.channels, group.unit) == (2, 4)
    model.norm = nn.GroupNorm(1, 8)
    groups = by_name(model)
    assert groups['grouped'].obstacle == 'its 8 channels can only go all together (norm)'
    # What the grouped convolution reads may go all the same, one channel of each of its groups.
    assert (groups['a'].obstacle, groups['a'].channels) == (None, 2)
    assert groups['a'].consumers[0].root == (0, 1, 0, 1, 0, 1, 0, 1)


def test_an_affine_free_norm_and_a_channel_wise_activation():
    model = Toy(
        lambda m, x: m.out(m.act(m.norm(m.a(x)))),
        a=nn.Conv2d(3, 4, 1),
        norm=nn.InstanceNorm2d(4),
        act=nn.PReLU(4),
        out=nn.Conv2d(4, 2, 1),
    )
    group = by_name(model)['a']
    assert paths(group.norms) == ['norm', 'act']
    assert group.obstacle is None


def test_a_layer_norm_keeps_its_channels():
    model = Toy(
        lambda m, x: m.out(m.other(m.a(x))),
        a=nn.Conv2d(3, 8, 1), other=nn.LayerNorm([8, 4, 4]), out=nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    reason = 'the layer norm other takes its mean over them'
    assert reason in by_name(model, (4, 4))['a'].obstacle


def test_a_layer_norm_over_other_dimensions_lets_them_go():
    model = Toy(
        lambda m, x: m.out(m.other(m.a(x))),
        a=nn.Conv2d(3, 8, 1), other=nn.LayerNorm([4, 4]), out=nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    group = by_name(model, (4, 4))['a']
    assert (group.obstacle, group.norms) == (None, ())


def test_zeroed_channels():
    """All that a channel adds is zero; its variance, which divides, stays."""
    norm = nn.BatchNorm2d(3)
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.constant_(tensor, 2.0)
    with torch.no_grad():
        kind_of(norm).zero(norm, 'out_channels', [1])
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        assert tensor.tolist() == [2, 0, 2]
    assert norm.running_var.tolist() == [2, 2, 2]
    plain = nn.InstanceNorm2d(3)  # has no tensors at all
    kind_of(plain).zero(plain, 'out_channels', [1])


def test_what_mixes():
    assert kind_of(L2Norm(4)).mixes
    assert not any(kind_of(m).mixes for m in (nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.PReLU(4)))
