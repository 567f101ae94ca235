"""What a peer leaves: as a plan, and compared with the peer's own detector."""

import pytest
import torch
from torch import nn

from mmdet_lcp.comparison.peers import choice
from mmdet_lcp.comparison.peers.choice import check_budget, check_same, loss_gradients, plan_of
from mmdet_lcp.copies import detached_copy
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import apply_plan
from mmdet_lcp.selection.images import SelectionImages


@pytest.fixture
def left(tiny_ground):
    """The detector without the odd channels of one group: by surgery, and what is left of it."""
    detector, groups, size = tiny_ground
    group = groups[3]
    keep = {group.name: list(range(0, group.channels, 2))}
    plan = plan_of(detector, groups, keep)
    images = SelectionImages(torch.randn(2, 3, *size), None)
    return detector, group, keep[group.name], plan, images


def test_a_plan_of_what_stays(left):
    """Groups that are not named stay whole."""
    detector, group, keep, plan, _ = left
    producer = group.producers[0].path
    assert list(plan.modules[producer]['out_channels'].keep) == keep
    touched = {member.path for member in group.members}
    assert set(plan.modules) == touched
    before = detector.get_submodule(producer).weight
    after = apply_plan(detached_copy(detector), plan).get_submodule(producer).weight
    assert torch.equal(after, before[keep])


def test_the_same_detector(left):
    detector, _, _, plan, images = left
    peer = apply_plan(detached_copy(detector), plan)
    assert check_same(peer, detector, plan, images, 'Peer') == 0


def test_a_change_of_more_than_channels_is_seen(left):
    detector, _, _, plan, images = left
    peer = apply_plan(detached_copy(detector), plan)
    with torch.no_grad():
        next(peer.parameters()).mul_(1.01)
    with pytest.raises(CompressionError, match=r'Peer.*changed more than its channels'):
        check_same(peer, detector, plan, images, 'Peer')


def test_over_the_budget():
    check_budget('Peer', 'taylor', 10, 10)
    with pytest.raises(CompressionError, match=r'Peer \(taylor\) .*nothing more .* 2\.000 of the'):
        check_budget('Peer', 'taylor', 20, 10)


def test_gradients_of_all_batches_add_up(monkeypatch):
    """0 where the loss does not go; the mode of each module is as before."""
    net = nn.ModuleList([nn.Linear(2, 1, bias=False), nn.Linear(1, 1)])
    seen = []

    def loss(network, batch):
        seen.append(network.training)
        return network[0](batch).sum()

    monkeypatch.setattr(choice, 'detection_loss', loss)
    loss_gradients(net, [torch.tensor([[1.0, 2.0]]), torch.tensor([[10.0, 20.0]])])
    assert net[0].weight.grad.tolist() == [[11.0, 22.0]]
    assert net[1].weight.grad.tolist() == [[0.0]]
    assert seen == [False, False] and net.training
