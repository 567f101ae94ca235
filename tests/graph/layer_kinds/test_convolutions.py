"""What convolutions write, scale and read, and how they are cut: expectations by hand."""

import pytest
import torch
from mmcv.cnn import ConvWS2d
from torch import nn
from toys import Toy, by_name, paths

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Kept, Plan, apply_plan
from mmdet_lcp.graph.layer_kinds import kind_of
from mmdet_lcp.registry import LAYER_KINDS


def test_a_depth_wise_convolution_is_a_norm():
    model = Toy(
        lambda m, x: m.point(m.depth(m.a(x))),
        a=nn.Conv2d(3, 8, 1),
        depth=nn.Conv2d(8, 8, 3, padding=1, groups=8),
        point=nn.Conv2d(8, 4, 1),
    )
    group = by_name(model)['a']
    assert paths(group.norms) == ['depth']
    assert group.norms[0].axis == 'out_channels'
    assert paths(group.consumers) == ['point']
    assert (group.obstacle, group.unit, group.kinds) == (None, 1, ('single',))


def test_a_grouped_convolution_loses_whole_groups():
    model = Toy(
        lambda m, x: m.out(m.norm(m.grouped(m.a(x)))),
        a=nn.Conv2d(3, 8, 1),
        grouped=nn.Conv2d(8, 12, 1, groups=4),
        norm=nn.BatchNorm2d(12),
        out=nn.Conv2d(12, 2, 1),
    )
    groups = by_name(model)
    assert set(groups) == {'a', 'out'}
    group = groups['a']
    assert (group.channels, group.unit, group.obstacle, group.kinds) == (4, 2, None, ('single',))
    assert group.producers[0].root == (0, 0, 1, 1, 2, 2, 3, 3)
    assert paths(group.norms) == ['grouped', 'norm']
    by_threes = tuple(i // 3 for i in range(12))
    assert all(m.root == by_threes and m.axis == 'out_channels' for m in group.norms)
    assert [(m.path, m.root) for m in group.consumers] == [('out', by_threes)]
    assert group.producers[0].map([1, 3]) == [2, 3, 6, 7]


def test_a_grouped_convolution_that_reads_the_image_too():
    model = Toy(
        lambda m, x: m.out(m.grouped(torch.cat([m.a(x)[:, :7], x[:, :1]], 1))),
        a=nn.Conv2d(3, 8, 1), grouped=nn.Conv2d(8, 8, 1, groups=4), out=nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    obstacles = [g.obstacle or '' for g in by_name(model).values() if g.producers[0].path == 'a']
    assert any('grouped reads channels that no layer writes' in text for text in obstacles)


def test_a_transposed_convolution_reads_and_writes():
    model = Toy(
        lambda m, x: m.out(m.up(m.a(x))),
        a=nn.Conv2d(3, 4, 1),
        up=nn.ConvTranspose2d(4, 6, 2, stride=2),
        out=nn.Conv2d(6, 2, 1),
    )
    groups = by_name(model)
    assert paths(groups['a'].consumers) == ['up']
    (consumer,) = groups['a'].consumers
    assert consumer.index == consumer.root == (0, 1, 2, 3)
    assert paths(groups['up'].consumers) == ['out']
    assert groups['up'].channels == 6
    assert groups['a'].obstacle is groups['up'].obstacle is None


def test_a_shared_head_ties_its_levels():
    """Two levels, a tower that runs on both, a norm for each: by hand."""
    model = Toy(
        lambda m, x: [
            m.out(norm(m.tower(level)).relu())
            for level, norm in ((m.fine(x), m.first), (m.coarse(x[..., ::2]), m.second))
        ],
        fine=nn.Conv2d(3, 4, 1),
        coarse=nn.Conv2d(3, 4, 1),
        tower=nn.Conv2d(4, 6, 1),
        first=nn.BatchNorm2d(6),
        second=nn.BatchNorm2d(6),
        out=nn.Conv2d(6, 2, 1),
    )
    groups = by_name(model)
    assert set(groups) == {'fine', 'tower', 'out'}
    levels, tower = groups['fine'], groups['tower']
    assert paths(levels.producers) == ['fine', 'coarse']
    assert [(m.path, m.calls) for m in levels.consumers] == [('tower', 2)]
    assert levels.kinds == ('coupled', 'shared')
    assert [(m.path, m.calls) for m in tower.members] == [
        ('tower', 2), ('first', 1), ('second', 1), ('out', 2),
    ]  # fmt: skip
    assert tower.kinds == ('shared',)
    assert 'outputs' in groups['out'].obstacle


def test_a_layer_that_reads_other_things_in_its_second_run():
    model = Toy(
        lambda m, x: m.out(m.a(m.a(x))),
        a=nn.Conv2d(3, 3, 1), out=nn.Conv2d(3, 2, 1),
    )  # fmt: skip
    assert 'a runs several times, and reads other things' in by_name(model)['a'].obstacle


UNPRUNABLE = {
    'standardised weights': (
        ConvWS2d(8, 8, 1), 'other is a ConvWS2d, which computes its kernel from all'
    ),
    'grouped transposed convolution': (
        nn.ConvTranspose2d(8, 8, 1, groups=2), 'other is a transposed convolution with groups'
    ),
}  # fmt: skip


@pytest.mark.parametrize(('layer', 'reason'), UNPRUNABLE.values(), ids=UNPRUNABLE)
def test_layers_whose_channels_stay(layer, reason):
    model = Toy(
        lambda m, x: m.out(m.other(m.a(x))),
        a=nn.Conv2d(3, 8, 1), other=layer, out=nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    assert reason in by_name(model, (4, 4))['a'].obstacle


class OwnForward(nn.ConvTranspose2d):
    def forward(self, x):
        return super().forward(x) * 2


KINDS = {
    'Convolution': (nn.Conv1d(4, 4, 1), nn.Conv3d(4, 6, 1, groups=1)),
    'GroupedConvolution': (nn.Conv2d(4, 8, 1, groups=2),),
    'DepthwiseConvolution': (nn.Conv2d(4, 8, 1, groups=4), nn.Conv2d(4, 4, 1, groups=4)),
    'TransposedConvolution': (nn.ConvTranspose2d(4, 4, 1),),
    'GroupedTransposedConvolution': (nn.ConvTranspose2d(4, 4, 1, groups=2),),
    'UnknownConvolution': (ConvWS2d(4, 4, 1), ConvWS2d(4, 4, 1, groups=2)),
    'UnknownTransposedConvolution': (OwnForward(4, 4, 1),),
}


@pytest.mark.parametrize('name', KINDS)
def test_which_kind(name):
    assert all(type(kind_of(module)) is LAYER_KINDS.get(name) for module in KINDS[name])


def test_a_transposed_convolution_with_groups_cannot_be_cut():
    model = Toy(lambda m, x: m.up(x), up=nn.ConvTranspose2d(4, 4, 1, groups=2))
    plan = Plan({'up': {'out_channels': Kept(4, (0, 1))}})
    with pytest.raises(CompressionError, match='up is a transposed convolution with groups'):
        apply_plan(model, plan)
