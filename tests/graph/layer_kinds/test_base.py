"""Which kind a module is of, what may be declared, and what follows from it."""

import copy

import pytest
import torch
from torch import nn
from toys import Toy, by_name, paths

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Kept, LayerKind, Plan, apply_plan, mask_plan
from mmdet_lcp.graph.layer_kinds import is_layer, kind_of, layers_of
from mmdet_lcp.measure.cost import detector_cost, macs_by_module, module_macs
from mmdet_lcp.registry import LAYER_KINDS


@pytest.fixture
def register(monkeypatch):
    """Registers kinds for the length of a test."""
    monkeypatch.setattr(LAYER_KINDS, '_module_dict', dict(LAYER_KINDS.module_dict))
    return lambda kind: LAYER_KINDS.register_module(module=kind) or kind


class Base(nn.Module):
    """Channels last; two of them a pair that is turned, by one matrix for all of the pairs."""

    def __init__(self, channels):
        super().__init__()
        self.channels, self.turn = channels, nn.Parameter(torch.randn(2, 2))

    def forward(self, x):
        return (x.movedim(1, -1).unflatten(-1, (-1, 2)) @ self.turn).flatten(-2).movedim(-1, 1)


class Derived(Base):
    pass


def kind_for(*modules, name='Mine', **more):
    return type(name, (LayerKind,), dict(modules=modules, **more))


def test_the_nearest_class_decides(register):
    derived, base = register(kind_for(Derived)), register(kind_for(Base, name='Other'))
    assert type(kind_of(Derived(4))) is derived
    assert type(kind_of(Base(4))) is base
    assert kind_of(nn.ReLU()) is None


def test_of_two_for_one_class_the_later_one(register):
    register(kind_for(nn.Conv2d, name='Mine'))
    later = register(kind_for(nn.Conv2d, name='Later'))
    assert type(kind_of(nn.Conv2d(1, 1, 1))) is later
    assert type(kind_of(nn.Conv1d(1, 1, 1))) is LAYER_KINDS.get('Convolution')


def test_what_a_kind_does_not_take_is_left_to_the_others(register):
    register(kind_for(nn.Conv2d, takes=lambda self, module: module.out_channels > 5))
    assert type(kind_of(nn.Conv2d(1, 6, 1))).__name__ == 'Mine'
    assert type(kind_of(nn.Conv2d(1, 5, 1))).__name__ == 'Convolution'


OUT, BOTH = dict(out_channels='n'), dict(in_channels='m', out_channels='n')
CONTRADICTIONS = [
    (dict(sizes=OUT, tensors=dict(w=dict(in_channels=0))), "the axis 'in_channels', which is not"),
    (dict(sizes=OUT, tensors=dict(w=dict(outputs=0))), "the axis 'outputs', which is not"),
    (dict(sizes=dict(width='n')), "the axis 'width'"),
    (dict(sizes=dict(in_channels='m'), macs=len), 'lack out_channels'),
    (dict(sizes=BOTH), 'needs a method `macs`'),
]


@pytest.mark.parametrize(('declared', 'message'), CONTRADICTIONS)
def test_contradictions(declared, message):
    with pytest.raises(CompressionError, match=f'Mine: .*{message}'):
        kind_for(Base, **declared)


def test_an_axis_that_a_module_does_not_have():
    model = Toy(lambda m, x: m.norm(x), norm=nn.BatchNorm2d(3))
    plan = Plan({'norm': {'in_channels': Kept(3, (0,))}})
    with pytest.raises(CompressionError, match='norm is a BatchNorm2d, which has no in_channels'):
        apply_plan(model, plan)


def test_a_kind_that_lies_is_found_out(register):
    """The pairs of `Base` are declared to be single channels."""
    model = Toy(
        lambda m, x: m.out(m.turn(m.a(x))),
        a=nn.Conv2d(3, 8, 1), turn=Base(8), out=nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    register(kind_for(Base, sizes=dict(out_channels='channels')))
    assert 'without half of its channels' in by_name(model)['a'].obstacle


class Pairs(LayerKind):
    """Told the truth: pairs go together."""

    modules = (Base,)
    sizes = dict(out_channels='channels')  # noqa: RUF012

    def groups(self, module):
        return module.channels // 2

    def trace(self, state, path, module, source, output):
        pairs = state.channels(source, 1).view(-1, 2)
        state.ties.tie(pairs[:, 0], pairs[:, 1])
        super().trace(state, path, module, source, output)


def test_blocks_of_ones_own(register):
    model = Toy(
        lambda m, x: m.out(m.turn(m.a(x))),
        a=nn.Conv2d(3, 8, 1), turn=Base(8), out=nn.Conv2d(8, 2, 1),
    ).double()  # fmt: skip
    register(Pairs)
    group = by_name(model)['a']
    assert (group.obstacle, group.channels, group.unit) == (None, 4, 2)
    assert paths(group.norms) == ['turn']
    plan = Plan().remove(group, [1, 2], {(m.path, m.axis): 8 for m in group.members})
    x = torch.randn(1, 3, 4, 4, dtype=torch.float64)
    masked = mask_plan(copy.deepcopy(model), plan)(x)
    assert torch.allclose(apply_plan(model, plan)(x), masked, rtol=1e-12)
    assert model.turn.channels == 4


class Twice(nn.Module):
    """A layer made of two, and a product that no operator counts."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1)
        self.ins, self.outs = 3, 6

    def forward(self, x):
        return self.second(self.first(x)).square()


def test_layers_inside_of_a_layer_are_its_own(register):
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(Twice()))
    assert [path for path, _, _ in layers_of(net)] == ['0', '1.0.first', '1.0.second']
    before = detector_cost(net, (4, 5))['macs']
    register(
        kind_for(
            Twice,
            sizes=dict(in_channels='ins', out_channels='outs'),
            macs=lambda self, module, source, output: {'all': 1000},
        )
    )
    assert is_layer(net[1][0]) and not is_layer(net[1])
    assert module_macs(net, (4, 5)) == {'0': 20 * 9, '1.0': 1000}
    macs = macs_by_module(net, (4, 5))
    assert (macs['1.0'], macs['1'], macs['']) == (1000, 1000, 1000 + 20 * 9)
    assert before == 20 * (9 + 12 + 24)
