"""torch-kirigami's choice in our groups, against its own detector and its formulas by hand."""

import pytest
import torch
from made_detectors import HEADS, build, two_stage_config

from mmdet_lcp.comparison.peers import torch_kirigami
from mmdet_lcp.comparison.peers.choice import plan_of
from mmdet_lcp.comparison.peers.torch_kirigami import choose_channels
from mmdet_lcp.copies import detached_copy
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import apply_plan, find_groups
from mmdet_lcp.measure.cost import detector_cost
from mmdet_lcp.pruning.targets.cost_model import macs_model
from mmdet_lcp.selection.images import SelectionImages

SIZE = (64, 64)
SOME = ('backbone.stage1.1.conv', 'neck.extra_layers.0.0.conv')  # far apart, a few channels each


@pytest.fixture(scope='module')
def ground(tiny_ground):
    detector = detached_copy(tiny_ground[0])
    torch.manual_seed(0)
    with torch.no_grad():  # norms of channels that differ
        for weight in detector.parameters():
            weight += 0.02 * torch.randn_like(weight)
    groups = [group for group in tiny_ground[1] if group.name in SOME]
    assert len(groups) == len(SOME)
    return detector, groups, [SelectionImages(torch.randn(1, 3, *SIZE), None)]


@pytest.fixture(scope='module')
def choice(ground):
    """Half of the channels of both together may stay, whatever they cost."""
    detector, groups, images = ground
    total = sum(group.channels for group in groups)
    return choose_channels(detector, groups, images, 'group_magnitude', total // 2, sum)


def energies(detector, group) -> torch.Tensor:
    """What all weights that write, scale or read each channel hold, over the mean channel's."""
    layers = dict(detector.named_modules())
    found = torch.zeros(group.channels)
    for member in (*group.producers, *group.norms):
        for weight in layers[member.path].parameters():
            found += weight.detach().square().flatten(1).sum(1) if weight.dim() > 1 else weight**2
    for member in group.consumers:
        weight = layers[member.path].weight.detach()
        found += weight.square().transpose(0, 1).flatten(1).sum(1)
    return found / found.mean()


def test_the_energies_decide(ground, choice):
    """The weakest of both groups together, in its order of scores: GroupMagnitude by hand."""
    detector, groups, _ = ground
    scores = {
        (group.name, channel): float(score)
        for group in groups
        for channel, score in enumerate(energies(detector, group))
    }
    kept = {(name, channel) for name, channels in choice.keep.items() for channel in channels}
    weakest = sorted(scores, key=scores.get)[: len(scores) - len(kept)]
    assert kept == scores.keys() - set(weakest)
    assert choice.cost == len(kept) == sum(group.channels for group in groups) // 2
    assert all(choice.keep.values()) and choice.left_out == []


def test_the_detector_is_the_peers_own(ground, choice):
    """Its outputs are compared inside; here: channels of the pruned detector itself."""
    detector, groups, _ = ground
    assert choice.difference <= 1e-5
    pruned = apply_plan(detached_copy(detector), plan_of(detector, groups, choice.keep))
    for group in groups:
        layer = pruned.get_submodule(group.producers[0].path)
        assert layer.out_channels == len(choice.keep[group.name]) < group.channels


def test_taylor_at_a_share_of_the_macs(ground, monkeypatch):
    """Weights times gradients, and a cost that is not linear in the channels."""
    detector, groups, images = ground
    model = macs_model(detector, groups, SIZE)
    dense = model.total([group.channels for group in groups])
    asked = []

    def gradients(network, batches):
        asked.append(batches)
        for weight in network.parameters():
            weight.grad = torch.ones_like(weight)

    monkeypatch.setattr(torch_kirigami, 'loss_gradients', gradients)
    found = choose_channels(detector, groups, images, 'taylor', 0.97 * dense, model.total)
    assert asked == [images]
    pruned = apply_plan(detached_copy(detector), plan_of(detector, groups, found.keep))
    share = detector_cost(pruned, SIZE)['macs'] / detector_cost(detector, SIZE)['macs']
    assert found.cost / dense == pytest.approx(share)
    assert 0.9 < share <= 0.97


class TestBadInput:
    def test_more_than_it_can(self, ground):
        detector, groups, images = ground
        with pytest.raises(CompressionError, match=r'torch-kirigami .* nothing more to remove'):
            choose_channels(detector, groups[:1], images, 'group_magnitude', 0.5, sum)

    def test_two_stages(self):
        detector = build(two_stage_config()).eval()
        groups = find_groups(detector, SIZE)[:1]
        images = [SelectionImages(torch.randn(1, 3, *SIZE), None)]
        with pytest.raises(CompressionError, match='regions of interest'):
            choose_channels(detector, groups, images, 'group_magnitude', 1, sum)

    def test_a_head_that_cannot_be_traced(self):
        detector = build(HEADS['TOOD']).eval()
        groups = find_groups(detector, SIZE)[:1]
        images = [SelectionImages(torch.randn(1, 3, *SIZE), None)]
        with pytest.raises(CompressionError, match='cannot follow this SingleStageDetector'):
            choose_channels(detector, groups, images, 'group_magnitude', 1, sum)

    def test_steps(self, ground):
        detector, groups, images = ground
        with pytest.raises(CompressionError, match=r'pruning\.channel_divisor=1'):
            choose_channels(detector, groups, images, 'group_magnitude', 9, sum, 8)
