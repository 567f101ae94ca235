"""Res2Net's blocks lose channels of all their parts at once."""

import copy

import detectors
import torch
from mmdet.models.backbones import Res2Net
from torch import nn

from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups, mask_plan


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = Res2Net(
            depth=50, scales=4, base_width=6, num_stages=1, strides=(1,), dilations=(1,),
            out_indices=(0,), stem_channels=8, base_channels=8, frozen_stages=-1,
        )  # fmt: skip
        self.out = nn.Conv2d(32, 2, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.out(self.body(inputs)[0])


@torch.no_grad()
def test_removed_is_zeroed():
    network = detectors.randomise(Net())
    groups = {g.name: g for g in find_groups(network, (32, 32)) if g.obstacle is None}
    for block in range(3):
        module = network.body.layer1[block]
        group = groups[f'body.layer1.{block}.conv1']
        # By hand: four parts of `width` channels, and what is written in their place.
        assert group.channels == module.width
        assert group.unit == 4
        assert {m.path.split('.')[-1] for m in group.consumers} >= {'0', '1', '2', 'conv3'}
    totals, plan = axis_sizes(network, groups.values()), Plan()
    for number, group in enumerate(groups.values()):
        plan = plan.remove(group, range(1 + number % 2), totals)
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    network.double()
    pruned = apply_plan(copy.deepcopy(network), plan)
    expected = mask_plan(copy.deepcopy(network), plan)(x)
    assert detectors.distance(pruned(x), expected) < 1e-9
    assert detectors.distance(network(x), expected) > 1e-3
    first = pruned.body.layer1[0]
    assert first.width == first.convs[0].in_channels < network.body.layer1[0].width
