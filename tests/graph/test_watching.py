"""A pass with zeros beside one without the channels, layer by layer."""

import copy

import pytest
import torch
from torch import nn

from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups, mask_plan
from mmdet_lcp.graph.passes import Pass
from mmdet_lcp.graph.watching import DIFFERS, Fault, compare, note

IMAGE = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
EACH = Pass('tensor', lambda network, images: network(images))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3)
        self.second = nn.Conv2d(6, 6, 3)
        self.skip = False

    def forward(self, images):
        x = self.first(images).relu()
        return x if self.skip else self.second(x)


@pytest.fixture
def pair():
    """(with zeros, without the channels, plan) of half of the first layer's channels."""
    torch.manual_seed(0)
    dense = Net().eval()
    (group,) = [group for group in find_groups(dense, (6, 6)) if group.name == 'first']
    plan = Plan().remove(group, [1, 3, 4], axis_sizes(dense, [group]))
    masked, pruned = copy.deepcopy(dense), copy.deepcopy(dense)
    mask_plan(masked, plan)
    return masked, apply_plan(pruned, plan), plan


def test_what_is_noted(pair):
    """Of the first layer the channels that stay, of the second all; and what is returned."""
    masked, _, plan = pair
    notes = note(masked, plan, EACH, IMAGE)
    assert [path for path, _ in notes.layers] == ['first', 'second']
    assert [len(numbers) for _, numbers in notes.layers] == [3, 6]
    with torch.no_grad():
        expected = masked.first(IMAGE)[0, [0, 2, 5]].flatten(1)
        torch.testing.assert_close(notes.layers[0][1].flatten(1), expected)
        torch.testing.assert_close(notes.outputs[0], masked(IMAGE))


def test_the_same_without_them(pair):
    masked, pruned, plan = pair
    compare(pruned, note(masked, plan, EACH, IMAGE), EACH, IMAGE)


def test_the_first_layer_that_differs(pair):
    masked, pruned, plan = pair
    with torch.no_grad():
        pruned.second.weight[2] *= 1.5
    with pytest.raises(Fault, match=DIFFERS) as caught:
        compare(pruned, note(masked, plan, EACH, IMAGE), EACH, IMAGE)
    assert (caught.value.path, caught.value.axis) == ('second', 'in_channels')


def test_other_layers(pair):
    masked, pruned, plan = pair
    masked.skip = True
    with pytest.raises(Fault, match='runs other layers than with zeros') as caught:
        compare(pruned, note(masked, plan, EACH, IMAGE), EACH, IMAGE)
    assert caught.value.path == 'second'


def test_a_pass_that_fails(pair):
    """In a layer: that reads what does not fit it."""
    masked, pruned, plan = pair
    pruned.second = nn.Conv2d(6, 6, 3)
    with pytest.raises(Fault, match=r'^fails: ') as caught:
        compare(pruned, note(masked, plan, EACH, IMAGE), EACH, IMAGE)
    assert caught.value.path == 'second'


def test_no_numbers_show_nothing(pair):
    """An untrained detector may overflow."""
    masked, pruned, plan = pair
    for network in (masked, pruned):
        network.second.bias.data.fill_(torch.nan)
    compare(pruned, note(masked, plan, EACH, IMAGE), EACH, IMAGE)
