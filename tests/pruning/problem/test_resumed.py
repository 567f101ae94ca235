"""Passes that go on from the group before, against passes from the start."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdet_lcp.detectors.taps import runs_until
from mmdet_lcp.pruning.problem.resumed import Resumed


class Counted(nn.Module):
    """Runs a convolution and counts how often."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.runs = inner, 0

    def forward(self, x):
        self.runs += 1
        return self.inner(x)


def conv() -> Counted:
    return Counted(nn.Conv2d(4, 4, 3, padding=1))


class Chain(nn.Module):
    """Convolutions in a row, each with a ReLU in place, as VGG."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            module for _ in range(5) for module in (conv(), nn.ReLU(inplace=True))
        )

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Branches(nn.Module):
    """What functions and later layers read: sums, views, in place, twice, and a shared layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(conv() for _ in range(5))
        self.pool = nn.MaxPool2d(3, 1, 1)

    def forward(self, x):
        first = self.layers[0](x)
        view = first.mT
        second = self.layers[1](F.relu(first))
        second += 1
        added = second * 2
        del first, second
        third = self.layers[2](self.pool(added))
        third.relu_()
        fourth = self.layers[3](third) + view.mT
        return self.layers[4](self.pool(fourth) + third)


@pytest.fixture(params=[Chain, Branches])
def model(request):
    torch.manual_seed(0)
    return request.param().eval().requires_grad_(False)


IMAGES = [torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(n)) for n in range(2)]


def paths_of(model) -> list[str]:
    return [name for name, m in model.named_modules() if isinstance(m, Counted)]


def sweep(model, resumed, disturb=None):
    """Inputs of each layer behind the first, whose kernels and the next one's change after it."""
    counted = [m for m in model.modules() if isinstance(m, Counted)]
    paths = paths_of(model)
    ran = []
    for number in range(1, len(paths)):
        runs, members = {paths[number]: 1}, paths[number - 1 : number + 1]
        before = sum(m.runs for m in counted)
        found = [
            resumed.inputs(i, model, lambda x=x: model(x), runs, members)
            for i, x in enumerate(IMAGES)
        ]
        ran.append((sum(m.runs for m in counted) - before) / len(IMAGES))
        for x, own in zip(IMAGES, found, strict=True):
            expected = runs_until(model, lambda x=x: model(x), runs, 'input')
            torch.testing.assert_close(own, expected, rtol=0, atol=0)
        for path in members:
            model.get_submodule(path).inner.weight.mul_(0.9)
        if disturb is not None:
            disturb(model, number)
    return ran


def test_the_same_inputs_with_a_layer_or_two_a_group(model):
    ran = sweep(model, Resumed(10**6))
    # From the layer that writes the group before on; from the start it would be 1, 2, 3, 4.
    assert ran == [1, 2, 2, 2]


def test_what_nobody_reads_any_more_is_not_kept():
    torch.manual_seed(0)
    model, resumed = Chain().eval().requires_grad_(False), Resumed(10**6)
    one = 2 * 4 * 6 * 5 * 4  # images, channels, height, width, bytes
    ran = sweep(model, resumed)
    assert ran[-1] == 2
    # What the last group's first layer reads, and a number for each other module.
    assert one * len(IMAGES) <= resumed.size <= 2 * one * len(IMAGES) + 1000


def test_a_layer_before_that_changes_is_noticed(model):
    def disturb(model, number):
        if number == 2:
            model.get_submodule(paths_of(model)[0]).inner.bias.add_(1)

    assert sweep(model, Resumed(10**6), disturb) == [1, 2, 3, 2]


def test_another_weight_in_the_place_of_one_is_noticed(model):
    def disturb(model, number):
        if number == 2:
            layer = model.get_submodule(paths_of(model)[0]).inner
            layer.weight = nn.Parameter(layer.weight * 2)

    assert sweep(model, Resumed(10**6), disturb) == [1, 2, 3, 2]


def test_nothing_is_kept_without_room(model):
    resumed = Resumed(0)
    assert sweep(model, resumed) == [1, 2, 3, 4]
    assert resumed.size == 0


def test_groups_out_of_order(model):
    resumed, paths = Resumed(10**6), paths_of(model)
    for path in (paths[3], paths[1], paths[4], paths[4]):
        found = resumed.inputs(0, model, lambda: model(IMAGES[0]), {path: 1}, [path])
        expected = runs_until(model, lambda: model(IMAGES[0]), {path: 1}, 'input')
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_reader_that_cannot_be_seen():
    """Code that reads memory itself, as operators of other libraries do: everything runs anew."""

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(conv() for _ in range(4))

        def forward(self, x):
            x = self.layers[0](x)
            with torch._C.DisableTorchFunction():
                x = x * 2
            return self.layers[3](self.layers[2](self.layers[1](x)))

    model = Hidden().eval().requires_grad_(False)
    assert sweep(model, Resumed(10**6)) == [1, 2, 2 + 3]
    assert all('forward' not in vars(module) for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
