"""Linear layers: their channels are the last dimension."""

import torch
from torch import nn
from toys import Toy, by_name

from mmdet_lcp.graph.layer_kinds import kind_of
from mmdet_lcp.registry import LAYER_KINDS


class Doubled(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


def test_channels_are_last():
    model = Toy(
        lambda m, x: m.out(m.a(x.movedim(1, -1)).relu()), a=nn.Linear(3, 6), out=nn.Linear(6, 2)
    )
    group = by_name(model)['a']
    assert (group.obstacle, group.channels) == (None, 6)
    assert [m.path for m in group.consumers] == ['out']


def test_a_forward_of_its_own():
    model = Toy(lambda m, x: m.out(m.a(x.movedim(1, -1))), a=nn.Linear(3, 6), out=Doubled(6, 2))
    assert 'out is a Doubled, which computes its kernel' in by_name(model)['a'].obstacle
    assert type(kind_of(model.out)) is LAYER_KINDS.get('UnknownLinearLayer')


def test_multiply_accumulates_by_hand():
    layer, source = nn.Linear(3, 6), torch.zeros(2, 5, 3)
    kind = kind_of(layer)
    assert kind.macs(layer, source, layer(source)) == {'weight': 2 * 5 * 3 * 6}
    assert kind.macs_of_channel(layer, source, layer(source), 'in_channels') == 2 * 5 * 6
    assert kind.macs_of_channel(layer, source, layer(source), 'out_channels') == 2 * 5 * 3
