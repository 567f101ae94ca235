"""Torch-Pruning's choice in our groups, against Torch-Pruning's own detector."""

import pytest
import tiny
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdet_lcp.comparison.peers import choice as peers_choice
from mmdet_lcp.comparison.peers.choice import plan_of
from mmdet_lcp.comparison.peers.torch_pruning import choose_channels
from mmdet_lcp.copies import detached_copy
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import apply_plan, find_groups
from mmdet_lcp.measure.cost import detector_cost
from mmdet_lcp.modes import evaluated
from mmdet_lcp.pruning.targets.cost_model import macs_model
from mmdet_lcp.selection.images import SelectionImages

SIZE = (64, 64)


@pytest.fixture(scope='module')
def ground(tiny_ground):
    detector, groups, size = tiny_ground
    images = [SelectionImages(torch.randn(2, 3, *size), None)]
    return detector, groups, images, macs_model(detector, groups, size)


@pytest.fixture(scope='module')
def choice(ground):
    detector, groups, images, model = ground
    dense = model.total([group.channels for group in groups])
    return choose_channels(
        detector, groups, images, 'group_norm', 0.5 * dense, model.total, steps=20
    )


def test_the_detector_is_the_peers_own(ground, choice):
    """Its outputs are compared inside; here: costs counted on the pruned detector itself."""
    detector, groups, _, _ = ground
    assert choice.difference <= 1e-5 and choice.left_out == []
    plan = plan_of(detector, groups, choice.keep)
    pruned = apply_plan(detached_copy(detector), plan)
    dense, left = (detector_cost(d, SIZE)['macs'] for d in (detector, pruned))
    assert left == choice.cost and 0.49 * dense <= left <= 0.5 * dense


def test_the_norms_decide(ground, choice):
    """Torch-Pruning's group norm by hand, of the first group that it cuts without its neighbours.

    Channels go by the squares of all weights that write, scale or read them: within a group the
    weakest ones are gone, where no other group has touched what reads them.
    """
    detector, groups, _, _ = ground
    named = {group.name: group for group in groups}
    group = named['neck.extra_layers.0.1.conv']
    # its reader, a head, loses no outputs, and its producer no filters before it is scored
    kept = set(choice.keep[group.name])
    first = detector.get_submodule(group.producers[0].path).weight
    assert 0 < len(kept) < len(first)
    scores = torch.zeros(len(first))
    for member in group.producers:
        scores += detector.get_submodule(member.path).weight.square().flatten(1).sum(1)
    for member in group.consumers:
        weight = detector.get_submodule(member.path).weight
        scores += weight.square().transpose(0, 1).flatten(1).sum(1)
    gone = sorted(set(range(len(first))) - kept)
    mean = [scores[index].mean() for index in (gone, sorted(kept))]
    assert mean[0] < mean[1]


def test_only_the_groups_that_are_given(ground):
    detector, groups, images, _ = ground
    some = groups[7:9]
    model = macs_model(detector, some, SIZE)
    dense = model.total([group.channels for group in some])
    found = choose_channels(
        detector, some, images, 'group_norm', 0.9 * dense, model.total, steps=20
    )
    assert set(found.keep) == {group.name for group in some}
    assert any(len(found.keep[group.name]) < group.channels for group in some)
    with pytest.raises(CompressionError, match='nothing more to remove'):
        choose_channels(detector, some, images, 'group_norm', 0.1 * dense, model.total, steps=5)


def test_a_change_of_more_than_channels_is_seen(ground, monkeypatch):
    detector, groups, images, model = ground
    dense = model.total([group.channels for group in groups])

    def other(network, plan):
        pruned = apply_plan(network, plan)
        next(pruned.parameters()).data.mul_(1.01)
        return pruned

    monkeypatch.setattr(peers_choice, 'apply_plan', other)
    with pytest.raises(CompressionError, match='changed more than its channels'):
        choose_channels(detector, groups, images, 'group_norm', 0.8 * dense, model.total, steps=10)


def test_a_two_stage_detector(tmp_path):
    """Its RoI head reads what the FPN writes, through regions."""
    config = tiny.make_config(tmp_path, tmp_path / 'digits', extra=tiny.FASTER_RCNN)
    torch.manual_seed(0)
    detector = evaluated(MODELS.build(Config.fromfile(config).model))
    groups = [group for group in find_groups(detector, SIZE) if not group.obstacle]
    images = [SelectionImages(torch.randn(1, 3, *SIZE), None)]
    budget = 0.6 * sum(group.channels for group in groups)
    found = choose_channels(detector, groups, images, 'group_norm', budget, sum, steps=10)
    assert found.left_out == [] and found.difference <= 1e-5
    less = [g.name for g in groups if len(found.keep[g.name]) < g.channels]
    assert {name.partition('.')[0] for name in less} == {
        'backbone',
        'neck',
        'rpn_head',
        'roi_head',
    }
