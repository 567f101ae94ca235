"""Groups that a trace gets right and a forward pass gets wrong."""

import copy

import detectors
import pytest
import torch
from torch import nn
from toys import Toy

from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups, mask_plan, verification


class Fixed(nn.Module):
    """Numbers of channels written into the forward pass, in several ways; the rest is right."""

    def __init__(self) -> None:
        super().__init__()
        self.right = nn.Conv2d(3, 6, 1)
        self.reshaped = nn.Conv2d(6, 6, 1)
        self.halved = nn.Conv2d(6, 6, 1)
        self.mean = nn.Conv2d(6, 6, 1)
        self.last = nn.Conv2d(6, 6, 1)
        self.out = nn.Conv2d(6, 2, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = self.right(inputs)
        x = self.reshaped(x)
        x = self.halved(x.view(len(x), 6, *x.shape[2:]))
        x = self.mean(x / x.shape[1])
        x = x / (1 + x.square().sum(1, keepdim=True) / 6).sqrt()
        return self.out(self.last(x))


def noted_tries(monkeypatch) -> list[tuple[list[str], str, str | None]]:
    """Of each try the groups, the pass, and what went wrong."""
    tries = []
    real = verification.Removal.fault

    def fault(self, groups):
        found = real(self, groups)
        tries.append(([g.name for g in groups], self.each.name, found and found.what))
        return found

    monkeypatch.setattr(verification.Removal, 'fault', fault)
    return tries


def test_they_get_an_obstacle(monkeypatch):
    model = detectors.randomise(Fixed()).train()
    before = copy.deepcopy(model.state_dict())
    tries = noted_tries(monkeypatch)
    groups = {group.name: group for group in find_groups(model, (5, 4))}
    assert groups['right'].obstacle is groups['last'].obstacle is None
    assert groups['mean'].obstacle is None  # a sum, that zeros add nothing to
    assert groups['reshaped'].obstacle.startswith(
        'without half of its channels the detector fails'
    )
    assert groups['halved'].obstacle == (
        'without half of its channels the detector computes something else than zeros do'
    )
    names = [each for each, _, _ in tries]
    assert names[0] == ['right', 'reshaped', 'halved', 'mean', 'last']
    # All; without what is near the first fault, and the next; these again, one by one as far as
    # they go wrong; and all that are right, with other shares.
    assert len(tries) <= 7
    assert names[-1] == ['right', 'mean', 'last']
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_groups_that_are_wrong_only_together():
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
            self.out = nn.Conv2d(8, 2, 1)

        def forward(self, inputs, data_samples=None, mode='tensor'):
            x = torch.cat([self.a(inputs), self.b(inputs)], 1)
            return self.out(x if x.shape[1] >= 5 else x * 2)

    groups = {group.name: group for group in find_groups(Halves(), (4, 4))}
    assert groups['a'].obstacle is None
    assert 'something else' in groups['b'].obstacle


def test_a_right_detector_is_tried_once(monkeypatch):
    tries = noted_tries(monkeypatch)
    groups = find_groups(detectors.tiny_detector('cascade_rcnn'), (64, 64))
    # Half of each, and then a share of its own of each in every pass.
    assert [(each, fault) for _, each, fault in tries] == [
        ('tensor', None), ('tensor', None), ('loss', None), ('predict', None)
    ]  # fmt: skip
    assert sum(group.obstacle is None for group in groups) == 21


def test_numbers_of_channels_that_differ():
    """From none to all but one; among groups of n channels any n in a row differ."""
    for size in range(2, 40):
        counts = verification._unequal([size] * 3 * size)
        for start in range(2 * size):
            assert sorted(counts[start : start + size]) == list(range(size))
    assert verification._unequal([4, 7, 4, 7, 2]) == [3, 4, 2, 1, 1]  # by hand: steps 3, 4 and 1


SIZE = (6, 5)


def conv(ins: int, outs: int, groups: int = 1) -> nn.Module:
    padded = nn.Conv2d(ins, outs, 3, padding=1, groups=groups)
    return nn.Sequential(padded, nn.BatchNorm2d(outs), nn.ReLU())


def cut_by(cut) -> Toy:
    """One part is read as it is, the other through a layer."""

    def forward(m, x):
        kept, changed = cut(m.a(x).relu())
        return m.out(torch.cat([kept, m.b(changed).relu()], 1))

    return Toy(forward, a=conv(3, 16), b=conv(8, 6), out=nn.Conv2d(14, 4, 3, padding=1))


def sliced(x):
    half = x.shape[1] // 2
    return x[:, :half], x[:, half:]


class C2f(nn.Module):
    """The block of YOLOv8."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = conv(3, 16), conv(4 * 8, 12)
        self.blocks = nn.ModuleList(nn.Sequential(conv(8, 4), conv(4, 8)) for _ in range(2))
        self.out = nn.Conv2d(12, 4, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        maps = list(self.first(inputs).chunk(2, 1))
        for block in self.blocks:
            maps.append(maps[-1] + block(maps[-1]))
        return self.out(self.last(torch.cat(maps, 1)))


class ShuffleUnit(nn.Module):
    """Of ShuffleNet v2: half of the channels pass, the others are worked on."""

    def __init__(self, half: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(conv(half, half), conv(half, half, half), conv(half, half))

    def forward(self, x):
        kept, changed = x.chunk(2, 1)
        x = torch.cat([kept, self.branch(changed)], 1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def shuffle_net() -> Toy:
    return Toy(
        lambda m, x: m.out(m.units(m.stem(x))),
        stem=conv(3, 24),
        units=nn.Sequential(ShuffleUnit(12), ShuffleUnit(12)),
        out=nn.Conv2d(24, 4, 1),
    )


def across() -> Toy:
    """Halves that two layers write, and that nothing ties."""

    def forward(m, x):
        one, two = torch.cat([m.a(x), m.b(x)], 1).tensor_split(2, 1)
        return m.out(torch.cat([m.c(one), two], 1))

    return Toy(
        forward, a=conv(3, 8), b=conv(3, 8), c=conv(8, 6), out=nn.Conv2d(14, 4, 3, padding=1)
    )


NETWORKS = {
    'chunk': (lambda: cut_by(lambda x: x.chunk(2, 1)), {'a.0': 8, 'b.0': 6}),
    'split': (lambda: cut_by(lambda x: x.split(x.shape[1] // 2, 1)), {'a.0': 8, 'b.0': 6}),
    'split into both': (
        lambda: cut_by(lambda x: x.split([x.shape[1] // 2] * 2, 1)),
        {'a.0': 8, 'b.0': 6},
    ),
    'tensor_split': (lambda: cut_by(lambda x: x.tensor_split(2, 1)), {'b.0': 6}),
    'slices': (lambda: cut_by(sliced), {'b.0': 6}),
    'a written number': (lambda: cut_by(lambda x: x.split(8, 1)), {'b.0': 6}),
    'two layers': (across, {'c.0': 6}),
    'YOLOv8': (C2f, {'first.0': 8, 'blocks.0.0.0': 4, 'blocks.1.0.0': 4, 'last.0': 12}),
    # By hand: a chunk ties place i to i + 12. Behind a shuffle these are i of a half, and i + 6.
    'ShuffleNet v2': (
        shuffle_net,
        {'stem.0': 6, 'units.0.branch.0.0': 12, 'units.1.branch.0.0': 12},
    ),
}  # fmt: skip


@pytest.mark.parametrize(('build', 'open_'), NETWORKS.values(), ids=NETWORKS)
@torch.no_grad()
def test_any_share_of_what_is_cut_into_parts(build, open_):
    torch.manual_seed(0)
    network = detectors.randomise(build())
    groups = [group for group in find_groups(network, SIZE) if group.obstacle is None]
    assert {group.name: group.channels for group in groups} == open_
    network.double()
    totals, image = axis_sizes(network, groups), torch.randn(2, 3, *SIZE).double()
    dense = network(image)
    for seed in range(5):
        draw, plan = torch.Generator().manual_seed(seed), Plan()
        for group in groups:
            count = int(torch.randint(1, group.channels, (), generator=draw))
            gone = torch.randperm(group.channels, generator=draw)[:count]
            plan = plan.remove(group, gone.tolist(), totals)
        pruned = apply_plan(copy.deepcopy(network), plan)(image)
        masked = mask_plan(copy.deepcopy(network), plan)(image)
        assert detectors.distance(pruned, masked) < 1e-5
        assert detectors.distance(pruned, dense) > 1e-3  # or the test would show nothing
