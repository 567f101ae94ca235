"""Balanced removal: by hand, by brute force, and on ShuffleNet v1, whose forward stays its own."""

import copy
import itertools
import json
from contextlib import ExitStack

import detectors
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Kept, Plan, apply_plan, axis_sizes, find_groups, mask_plan
from mmdet_lcp.graph.balance import LEFT_OVER, Grid, Key, balanced
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.graph.surgery import axis_size
from mmdet_lcp.models.pruned_detector import pruned_model_cfg
from mmdet_lcp.models.shufflenet_v1 import ChannelShuffle

SIZE = 64


class Chain(nn.Module):
    """Modules one after the other, by name."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        for module in self.children():
            inputs = module(inputs)
        return inputs


def groups_of(model: nn.Module) -> dict:
    return {group.name: group for group in find_groups(model, (6, 6))}


def parts(member) -> list[list[int]]:
    return [member.map([channel]) for channel in range(max(member.root) + 1)]


def shuffled() -> Chain:
    return Chain(
        a=nn.Conv2d(3, 8, 1),
        p=nn.Conv2d(8, 8, 1, groups=2),
        shuffle=ChannelShuffle(2),
        depth=nn.Conv2d(8, 8, 3, padding=1, groups=8),
        q=nn.Conv2d(8, 4, 1, groups=2),
        out=nn.Conv2d(4, 2, 1),
    )


def test_a_shuffle_between_grouped_convolutions_by_hand():
    groups = groups_of(shuffled())
    assert set(groups) == {'a', 'p', 'q', 'out'}
    assert not any(groups[name].obstacle for name in 'apq')
    # p reads 0-3 and 4-7: one channel of each.
    assert parts(groups['a'].producers[0]) == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert parts(groups['a'].consumers[0]) == [[0, 4], [1, 5], [2, 6], [3, 7]]
    # Channel j of both of p's groups stand at 2j and 2j + 1; q reads 0-3 and 4-7 of these.
    (producer,), (depth,), (consumer,) = (
        getattr(groups['p'], role) for role in ('producers', 'norms', 'consumers')
    )
    assert parts(producer) == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert parts(depth) == parts(consumer) == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert (producer.axis, consumer.axis) == ('out_channels', 'in_channels')
    assert (groups['p'].unit, groups['p'].kinds) == (4, ('single',))
    assert parts(groups['q'].producers[0]) == [[0, 2], [1, 3]]


def test_a_shuffled_chain_computed_by_hand():
    """The same sums without what went, group by group; the number of groups stays."""
    model = detectors.randomise(shuffled()).double()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    groups = groups_of(model)
    totals, plan = axis_sizes(model, groups.values()), Plan()
    for name, gone in {'a': [0, 2], 'p': [0], 'q': [1]}.items():
        plan = plan.remove(groups[name], gone, totals)
    pruned = apply_plan(copy.deepcopy(model), plan)
    assert [(m.in_channels, m.out_channels, m.groups) for m in (pruned.p, pruned.q)] == [
        (4, 4, 2), (4, 2, 2),
    ]  # fmt: skip

    with torch.no_grad():
        a = F.conv2d(x, model.a.weight, model.a.bias)
        halves = []
        for group, rows in enumerate([[1, 3], [5, 7]]):
            read, columns = [4 * group + 1, 4 * group + 3], [1, 3]
            weight = model.p.weight[rows][:, columns]
            halves.append(F.conv2d(a[:, read], weight, model.p.bias[rows]))
        mixed = torch.stack(halves, 2).flatten(1, 2)  # channel j of both, then j + 1 of both
        rows = [2, 3, 6, 7]
        mixed = F.conv2d(
            mixed, model.depth.weight[rows], model.depth.bias[rows], padding=1, groups=4
        )
        ends = [
            F.conv2d(mixed[:, [2 * g, 2 * g + 1]], model.q.weight[[2 * g]][:, [2, 3]],
                     model.q.bias[[2 * g]])
            for g in (0, 1)
        ]  # fmt: skip
        expected = F.conv2d(torch.cat(ends, 1), model.out.weight[:, [0, 2]], model.out.bias)
        torch.testing.assert_close(pruned(x), expected, rtol=1e-10, atol=1e-12)
        masked = mask_plan(copy.deepcopy(model), plan)
        torch.testing.assert_close(masked(x), expected, rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_surgery_takes_another_choice_in_each_group():
    """Where no shuffle comes behind, a plan may keep other places of each group."""
    model = detectors.randomise(shuffled()).double()
    keep = (0, 3, 5, 6)
    plan = Plan({'a': {'out_channels': Kept(8, keep)}, 'p': {'in_channels': Kept(8, keep)}})
    x = torch.randn(1, 3, 6, 6, dtype=torch.float64)
    masked = mask_plan(copy.deepcopy(model), plan)
    pruned = apply_plan(copy.deepcopy(model), plan)
    torch.testing.assert_close(pruned(x), masked(x), rtol=1e-10, atol=1e-12)
    assert torch.equal(pruned.p.weight[0], model.p.weight[0, [0, 3]])
    assert torch.equal(pruned.p.weight[7], model.p.weight[7, [1, 2]])
    assert not torch.allclose(pruned(x), model(x))


@pytest.mark.parametrize(
    ('axis', 'keep', 'message'),
    [
        ('in_channels', (0, 1, 2, 4), 'p works on groups of 4 channels'),
        ('out_channels', (0, 1, 2, 4), 'p works on groups of 4 channels'),
        ('in_channels', (0, 1, 2, 3), 'p would lose other groups of its in_channels'),
    ],
)
def test_unequal_numbers_are_refused(axis, keep, message):
    with pytest.raises(CompressionError, match=message):
        apply_plan(shuffled(), Plan({'p': {axis: Kept(8, keep)}}))


def test_whole_groups_where_that_is_finer():
    def chain(groups: int, ins: int, outs: int) -> dict:
        return groups_of(
            Chain(
                a=nn.Conv2d(3, groups * ins, 1),
                grouped=nn.Conv2d(groups * ins, groups * outs, 1, groups=groups),
                out=nn.Conv2d(groups * outs, 2, 1),
            )
        )

    assert set(chain(4, 2, 8)) == set(chain(4, 4, 4)) == {'a', 'out'}
    assert [chain(4, 2, 8)['a'].channels, chain(4, 4, 4)['a'].channels] == [4, 4]
    fine = chain(2, 5, 4)
    assert [fine[name].channels for name in ('a', 'grouped')] == [5, 4]


def test_groups_that_begin_elsewhere():
    """6 and 4 channels side by side, read in two groups of five: by hand."""

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 4, 1)
            self.grouped = nn.Conv2d(10, 2, 1, groups=2)

        def forward(self, inputs, data_samples=None, mode='tensor'):
            return self.grouped(torch.cat([self.a(inputs), self.b(inputs)], 1))

    groups = find_groups(Joined(), (4, 4))
    open_ = [group for group in groups if group.obstacle is None]
    # Either one of a's first five with its last, once, or one of them with one of b's.
    assert [group.channels for group in open_] == [4]
    assert [member.path for member in open_[0].producers] == ['a', 'b']
    assert open_[0].kinds == ('coupled',)
    assert open_[0].consumers[0].map(range(4)) == [0, 1, 2, 3, 6, 7, 8, 9]
    left = [group for group in groups if group.producers[0].path == 'a' and group.obstacle]
    assert [group.producers[0].index for group in left] == [(4, 5)]


def random_units(seed: int) -> tuple[list[dict], dict]:
    """Units of one to three channels on two axes of groups of equal size."""
    random = np.random.default_rng(seed)
    grids = {Key(n, f'conv{n}', 'consumers'): Grid(int(random.integers(2, 4)), 3) for n in (0, 1)}
    units: list[dict] = [{} for _ in range(6)]
    for key, grid in grids.items():
        for place in random.permutation(grid.groups * grid.each).tolist():
            unit = units[int(random.integers(len(units)))]
            unit.setdefault(key, []).append(place)
    units = [{key: sorted(indices) for key, indices in unit.items()} for unit in units if unit]
    return units, grids


def is_balanced(units, grids) -> bool:
    for key, grid in grids.items():
        places = [place for unit in units for place in unit.get(key, [])]
        counts = [sum(p // grid.each == group for p in places) for group in range(grid.groups)]
        if len(set(counts)) > 1:
            return False
    return True


@pytest.mark.parametrize('seed', range(25))
def test_recipes_by_brute_force(seed):
    units, grids = random_units(seed)
    found = list(balanced(units, grids))
    free = [unit for unit, reason in found if reason is None]
    left = [unit for unit, reason in found if reason is not None]
    for unit in free:
        assert is_balanced([unit], grids)
    # Each channel is there once.
    for key, grid in grids.items():
        places = sorted(p for unit, _ in found for p in unit.get(key, []))
        assert places == list(range(grid.groups * grid.each))

    def sets(of):
        return (c for n in range(1, len(of) + 1) for c in itertools.combinations(of, n))

    # Nothing that could go is left over, and the smallest unit is as small as can be.
    assert not any(is_balanced(c, grids) for c in sets(left))
    sizes = [sum(len(i) for u in c for i in u.values()) for c in sets(units)
             if is_balanced(c, grids)]  # fmt: skip
    found_sizes = [sum(map(len, unit.values())) for unit in free]
    assert min(sizes) == min(found_sizes)


def test_units_of_no_grid_stay_as_they_were():
    key = Key(0, 'conv', 'producers')
    units = [{key: [0]}, {key: [1, 2]}]
    assert list(balanced(units, {})) == [(units[0], None), (units[1], None)]
    assert LEFT_OVER not in [reason for _, reason in balanced(units, {key: Grid(1, 3)})]


# Groups, width, and units of the channels between the 1x1 convolutions of stages 2 and 3. Runs of
# g go together behind the shuffle; of those that lie in a single group of the second convolution
# one of each group does. 0: fewer than two units.
SHUFFLENETS = [
    (1, 0.25, 9, 18),
    (2, 0.5, 6, 12),  # 24 channels in two groups of 12, of 6 runs each; 48
    (3, 0.5, 2, 6),  # 30 in groups of 10: 3, 2 and 3 runs and two on a border; 60
    (4, 0.5, 2, 3),  # 32 in groups of 8; 68 in groups of 17: 4, 3, 3, 4 and three on a border
    (8, 1.0, 0, 3),  # 96 in groups of 12: one run, or half of one; 192
]


def model_cfg(groups: int, width: float) -> dict:
    model = Config.fromfile(
        detectors.__file__.rpartition('/tests/')[0] + '/configs/_base_/models/'
        'ssd_shufflenet_v1_small.py'
    ).model
    model.backbone.update(groups=groups, width_mult=width)
    widths = MODELS.build(copy.deepcopy(model.backbone)).stage_channels[1:3]
    levels = (*widths, 16, 16)
    model.neck.update(in_channels=widths, out_channels=levels)
    model.bbox_head.update(in_channels=levels, num_classes=2)
    return model.to_dict()


@torch.no_grad()
def zeroed_by_hooks(detector, removed, x):
    """Outputs with channels at zero behind each layer that writes or scales them."""

    def zero(channels):
        def hook(module, args, output):
            output = output.clone()
            output[:, channels] = 0
            return output

        return hook

    with ExitStack() as hooks:
        for group, channels in removed:
            for member in (*group.producers, *group.norms):
                module = detector.get_submodule(member.path)
                handle = module.register_forward_hook(zero(member.map(channels)))
                hooks.callback(handle.remove)
        return tensor_forward(detector, x)


def some(group, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(group.channels, generator=generator)[: group.channels // 2].tolist()


@torch.no_grad()
@pytest.mark.parametrize(('groups', 'width', 'stage2', 'stage3'), SHUFFLENETS)
def test_shufflenet_v1(groups, width, stage2, stage3):
    """Removal is zeroing, twice; the plan alone rebuilds the detector, whose groups stay."""
    cfg = model_cfg(groups, width)
    torch.manual_seed(0)
    dense = detectors.randomise(MODELS.build(copy.deepcopy(cfg))).double()
    x = detectors.noise(SIZE, 1, torch.float64)
    plan, pruned = Plan(), dense
    for seed in (0, 1):
        found = find_groups(pruned, (SIZE, SIZE))
        assert not any('without half' in (group.obstacle or '') for group in found)
        open_ = [group for group in found if group.obstacle is None]
        if seed == 0:
            by_name = {group.name: group for group in open_}
            for stage, units in ((2, stage2), (3, stage3)):
                group = by_name.get(f'backbone.stage{stage}.1.compress.conv')
                assert (group.channels if group else 0) == units
                assert not group or group.unit == groups**2
        removed = [(group, some(group, seed)) for group in open_]
        totals, later = axis_sizes(pruned, open_), Plan()
        for group, channels in removed:
            later = later.remove(group, channels, totals)
        before, zeroed = tensor_forward(pruned, x), zeroed_by_hooks(pruned, removed, x)
        masked = tensor_forward(mask_plan(copy.deepcopy(pruned), later), x)
        pruned = apply_plan(copy.deepcopy(pruned), later)
        outputs = tensor_forward(pruned, x)
        assert detectors.distance(outputs, zeroed) <= 1e-5
        assert detectors.distance(outputs, masked) <= 1e-9
        assert detectors.distance(outputs, before) > 1e-3
        plan = plan.then(later)
    for path, module in dense.backbone.named_modules():
        if isinstance(module, nn.Conv2d) and module.groups < module.in_channels:
            other = pruned.backbone.get_submodule(path)
            assert other.groups == module.groups
            assert other.weight.shape[1] * other.groups == other.in_channels
    assert axis_size(pruned.backbone.stage3[0].expand.conv, 'out_channels') < axis_size(
        dense.backbone.stage3[0].expand.conv, 'out_channels'
    )
    again = Plan.from_dict(json.loads(json.dumps(plan.to_dict(compact=True))))
    rebuilt = MODELS.build(pruned_model_cfg(cfg, again)).double().eval()
    rebuilt.load_state_dict(pruned.state_dict())
    assert detectors.distance(tensor_forward(rebuilt, x), outputs) == 0


def test_groups_of_shufflenet_v1_by_hand():
    """3 groups, 0.5 x: stages of 120 and 240 channels behind a first convolution of 12."""
    torch.manual_seed(0)
    dense = MODELS.build(model_cfg(3, 0.5))
    groups = {group.name: group for group in find_groups(dense, (SIZE, SIZE))}
    stream = groups['backbone.stage2.0.expand.conv']
    # All residual units write it, and the concatenation couples both stages: 120 channels of
    # stage 2 stand before stage 3's own 120, and groups of 80 are cut out of the two of them.
    writers = [f'backbone.stage{s}.{u}.expand.conv' for s, n in ((2, 4), (3, 8)) for u in range(n)]
    assert [member.path for member in stream.producers] == writers
    assert 'coupled' in stream.kinds and stream.unit == 3
    for member in (*stream.producers, *stream.consumers):
        module = dense.get_submodule(member.path)
        if module.groups > 1:
            each = axis_size(module, member.axis) // module.groups
            for unit in range(stream.channels):
                counts = [sum(i // each == g for i in member.map([unit])) for g in range(3)]
                assert len(set(counts)) == 1
    # The image's three channels and stage 2's first unit reach the stem without groups.
    assert 'backbone.stage1.0.conv' in groups


@torch.no_grad()
def test_resnext_loses_channels_of_each_group():
    """mmdet's ResNeXt with two groups of 16 and more: the 3x3 convolution keeps its groups."""
    model = detectors.tiny_model('retinanet_resnext')
    model.backbone.update(groups=2, base_width=8)
    torch.manual_seed(0)
    dense = detectors.randomise(MODELS.build(model)).double()
    groups = {group.name: group for group in find_groups(dense, (SIZE, SIZE))}
    conv = dense.backbone.layer4[0].conv2
    each = conv.in_channels // 2
    before, after = groups['backbone.layer4.0.conv1'], groups['backbone.layer4.0.conv2']
    assert before.channels == after.channels == each > 2
    assert [m.path for m in before.consumers] == ['backbone.layer4.0.conv2']
    assert [m.path for m in after.producers] == ['backbone.layer4.0.conv2']
    removed = [(before, some(before, 0)), (after, some(after, 1))]
    totals, plan = axis_sizes(dense, (before, after)), Plan()
    for group, channels in removed:
        plan = plan.remove(group, channels, totals)
    x = detectors.noise(dtype=torch.float64)
    zeroed, pruned = zeroed_by_hooks(dense, removed, x), apply_plan(copy.deepcopy(dense), plan)
    assert detectors.distance(tensor_forward(pruned, x), zeroed) <= 1e-9
    found = pruned.backbone.layer4[0].conv2
    assert (found.groups, found.in_channels) == (2, conv.in_channels - 2 * (each // 2))
