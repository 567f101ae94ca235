"""The model's costs are those of detectors that are really pruned, to the last operation."""

import itertools
import random

import pytest
import torch

from mmdet_lcp.measure.cost import detector_cost, layer_macs
from mmdet_lcp.pruning.targets.cost_model import (
    CostModel,
    Term,
    Width,
    first_channels,
    macs_model,
    params_model,
)


def macs_by_hand(a: int, b: int) -> int:
    """Of `conftest.Net` with so many channels in its two groups, as mmengine counts."""
    conv_a = 8 * 8 * 27 * a
    norm = 2 * 8 * 8 * a
    resize = 16 * 16 * a + 16 * 16 * 2
    depthwise = 16 * 16 * 9 * a
    conv_b = 16 * 16 * a * b
    shared = (16 * 16 + 8 * 8) * 9 * (2 + b) * 5
    pool = 16 * 16 * a
    fc = 4 * a * 7
    return conv_a + norm + resize + depthwise + conv_b + shared + pool + fc


def params_by_hand(a: int, b: int) -> int:
    return (27 * a + a) + 2 * a + 9 * a + (a * b + b) + (9 * (2 + b) * 5 + 5) + (4 * a * 7 + 7)


def test_layer_by_layer(net):
    model = macs_model(net.detector, net.groups, net.size)
    before, after = (model.by_layer(counts) for counts in (net.channels, [3, 2]))
    changed = {path for path in before if before[path] != after[path]}
    pruned = first_channels(net.detector, net.groups, [3, 2])
    for path, own in layer_macs(pruned, net.size).items():
        assert after[path] == pytest.approx(sum(own.values()))
    assert changed and set(before) == set(after)


@pytest.mark.parametrize('counts', itertools.product([1, 3, 6], [1, 2, 4]))
def test_by_hand(net, counts):
    pruned = detector_cost(first_channels(net.detector, net.groups, counts), net.size)
    assert pruned == dict(params=params_by_hand(*counts), macs=macs_by_hand(*counts))
    macs = macs_model(net.detector, net.groups, net.size)
    assert macs.total(counts) == macs_by_hand(*counts)
    assert params_model(net.detector, net.groups).total(counts) == params_by_hand(*counts)


@pytest.mark.parametrize('name', ['vgg', 'r18', 'shufflenet'])
def test_equals_what_pruned_detectors_cost(name, request):
    case = request.getfixturevalue(name)
    macs = macs_model(case.detector, case.groups, case.size)
    params = params_model(case.detector, case.groups)
    draw = random.Random(0)
    tried = [case.channels, [1] * len(case.groups)]
    tried += [[draw.randint(1, n) for n in case.channels] for _ in range(3)]
    for counts in tried:
        expected = detector_cost(first_channels(case.detector, case.groups, counts), case.size)
        found = dict(params=params.total(counts), macs=macs.total(counts))
        # A third of a product is rounded, where convolutions have three groups.
        assert found == pytest.approx(expected, rel=1e-12), counts


def test_some_of_the_groups(vgg):
    """What belongs to the others is constant."""
    chosen = vgg.groups[3:8:2]
    model = macs_model(vgg.detector, chosen, vgg.size)
    counts = [5, 7, 9]
    pruned = first_channels(vgg.detector, chosen, counts)
    assert model.total(counts) == detector_cost(pruned, vgg.size)['macs']


def test_change_is_the_difference_of_totals(vgg):
    for model in (
        macs_model(vgg.detector, vgg.groups, vgg.size),
        params_model(vgg.detector, vgg.groups),
    ):
        draw = random.Random(1)
        counts = [draw.randint(2, n) for n in vgg.channels]
        for group in range(len(counts)):
            after = list(counts)
            after[group] -= 1
            expected = model.total(after) - model.total(counts)
            assert model.change(counts, group, counts[group] - 1) == expected
            assert expected < 0


def test_neighbours_are_those_whose_channels_get_cheaper(vgg):
    model = macs_model(vgg.detector, vgg.groups, vgg.size)
    counts = vgg.channels
    for group, other in itertools.product(range(len(counts)), repeat=2):
        if other == group:
            continue
        fewer = list(counts)
        fewer[group] -= 1
        saved = [model.change(start, other, start[other] - 1) for start in (counts, fewer)]
        assert (saved[0] != saved[1]) == (other in model.neighbours(group)), (group, other)


def test_the_detector_stays_as_it_is(vgg):
    before = {key: value.clone() for key, value in vgg.detector.state_dict().items()}
    macs_model(vgg.detector, vgg.groups, vgg.size)
    for key, value in vgg.detector.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_terms_without_groups_are_constant():
    term = Term(lambda ins, outs: ins * outs, Width(3), Width(5))
    model = CostModel(2, [term], 1)
    assert model.total([7]) == 2 + 15
    assert model.change([7], 0, 6) == 0
    assert model.neighbours(0) == {0}
