"""Plans: plain data that survive JSON, compose, and are checked when they are read."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup, Kept, Member, Plan, apply_plan, axis_sizes, find_groups

# Channels 0..3 of `a` reach `fc` as features 2c and 2c + 1; `b` reads them behind two others.
GROUP = ChannelGroup(
    'a',
    4,
    producers=(Member('a', 'out_channels', (0, 1, 2, 3), (0, 1, 2, 3)),),
    norms=(Member('n', 'out_channels', (0, 1, 2, 3), (0, 1, 2, 3)),),
    consumers=(
        Member('fc', 'in_channels', tuple(range(8)), (0, 0, 1, 1, 2, 2, 3, 3)),
        Member('b', 'in_channels', (2, 3, 4, 5), (0, 1, 2, 3)),
    ),
)
TOTALS = {
    ('a', 'out_channels'): 4,
    ('n', 'out_channels'): 4,
    ('fc', 'in_channels'): 8,
    ('b', 'in_channels'): 6,
}
EXPECTED = {
    'version': 1,
    'modules': {
        'a': {'out_channels': {'total': 4, 'keep': [0, 2]}},
        'b': {'in_channels': {'total': 6, 'keep': [0, 1, 2, 4]}},
        'fc': {'in_channels': {'total': 8, 'keep': [0, 1, 4, 5]}},
        'n': {'out_channels': {'total': 4, 'keep': [0, 2]}},
    },
}


def test_remove():
    empty = Plan()
    plan = empty.remove(GROUP, [3, 1], TOTALS)
    assert plan.to_dict() == EXPECTED
    assert not empty  # plans are not changed
    assert plan
    assert plan.remove(GROUP, [1], TOTALS) == plan  # gone is gone
    # The channels are counted on the detector before any pruning.
    assert empty.remove(GROUP, [1], TOTALS).remove(GROUP, [3], TOTALS) == plan


@pytest.mark.parametrize(
    ('channels', 'message'),
    [
        ([99], 'a has no channel 99: its channels are 0 to 3'),
        ([0, -1], 'a has no channel -1'),
        ([4], 'a has no channel 4'),
        ([1.5], r'a: the channels to remove are \[1\.5\]; a list of whole numbers'),
        (2, 'a: the channels to remove are 2; a list'),
        ('1', "a: the channels to remove are '1'"),
        (range(4), 'a: without 4 of its 4 channels none of the out_channels of a would stay'),
    ],
)
def test_channels_that_cannot_go(channels, message):
    with pytest.raises(CompressionError, match=message):
        Plan().remove(GROUP, channels, TOTALS)


def test_the_last_channel_stays():
    plan = Plan().remove(GROUP, [0, 1, 2], TOTALS)
    assert plan.modules['a']['out_channels'] == Kept(4, (3,))
    with pytest.raises(CompressionError, match='Leave at least one'):
        plan.remove(GROUP, [3], TOTALS)


def test_channels_as_numpy_and_torch_have_them():
    expected = Plan().remove(GROUP, [1, 3], TOTALS)
    assert Plan().remove(GROUP, np.array([1, 3]), TOTALS) == expected
    assert Plan().remove(GROUP, torch.tensor([1, 3]), TOTALS) == expected


def test_a_group_that_cannot_be_pruned():
    closed = dataclasses.replace(GROUP, obstacle='softmax runs over them')
    with pytest.raises(CompressionError, match='a cannot be pruned: softmax runs over them'):
        Plan().remove(closed, [1], TOTALS)


def test_totals_of_other_groups():
    totals = {key: total for key, total in TOTALS.items() if key[0] != 'n'}
    with pytest.raises(CompressionError, match='a: the totals lack the out_channels of n'):
        Plan().remove(GROUP, [1], totals)


def test_kept():
    plan = Plan().remove(GROUP, [3, 1], TOTALS)
    assert plan.kept('b', 'in_channels', 6) == Kept(6, (0, 1, 2, 4))
    assert plan.kept('b', 'out_channels', 3) == Kept(3, (0, 1, 2))
    assert plan.kept('elsewhere', 'in_channels', 2) == Kept(2, (0, 1))
    kept = Kept(6, (0, 1, 2, 4))
    assert kept.without([1, 5]) == Kept(6, (0, 2, 4))
    assert kept.positions(Kept(6, (0, 2, 4))) == [0, 2, 3]


def test_json_round_trip(small):
    totals, plan = axis_sizes(small.detector, small.prunable), Plan()
    for group in small.prunable:
        plan = plan.remove(group, range(0, group.channels, 3), totals)
    text = json.dumps(plan.to_dict())
    again = Plan.from_dict(json.loads(text))
    assert again == plan
    assert json.dumps(again.to_dict()) == text
    assert list(plan.to_dict()['modules']) == sorted(plan.modules)
    assert Plan.from_dict(json.loads(json.dumps(Plan().to_dict()))) == Plan()


def test_then_by_hand():
    first = Plan(
        {'a': {'out_channels': Kept(6, (1, 3, 4, 5))}, 'x': {'in_channels': Kept(2, (0,))}}
    )
    later = Plan({'a': {'out_channels': Kept(4, (0, 3))}, 'y': {'in_channels': Kept(3, (1, 2))}})
    assert first.then(later).modules == {
        'a': {'out_channels': Kept(6, (1, 5))},
        'x': {'in_channels': Kept(2, (0,))},
        'y': {'in_channels': Kept(3, (1, 2))},
    }
    assert first.then(Plan()) == first
    assert Plan().then(first) == first


def test_then_is_one_surgery_after_the_other(narrow_vgg):
    dense = narrow_vgg.detector
    totals, first = axis_sizes(dense, narrow_vgg.prunable), Plan()
    for group in narrow_vgg.prunable[::2]:
        first = first.remove(group, range(0, group.channels, 2), totals)
    once = apply_plan(copy.deepcopy(dense), first)

    groups = [group for group in find_groups(once, (96, 96)) if group.obstacle is None]
    totals, later = axis_sizes(once, groups), Plan()
    for group in groups:
        later = later.remove(group, range(1, group.channels, 3), totals)
    twice = apply_plan(copy.deepcopy(once), later)

    composed = apply_plan(copy.deepcopy(dense), first.then(later))
    one, two = composed.state_dict(), twice.state_dict()
    assert list(one) == list(two)
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_then_refuses_a_plan_of_another_detector():
    first = Plan({'a': {'out_channels': Kept(6, (1, 3))}})
    with pytest.raises(
        CompressionError, match=r'expects 4 out_channels channels at a, .* leaves 2'
    ):
        first.then(Plan({'a': {'out_channels': Kept(4, (0, 3))}}))


def module(**axes):
    return {'version': 1, 'modules': {'neck.x': axes}}


def axis(**kept):
    return module(in_channels=kept)


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        ([], "no 'modules'"),
        (None, "no 'modules'"),
        ({'version': 1}, "no 'modules'"),
        ({'version': 1, 'modules': [1]}, "no 'modules'"),
        ({'modules': {}}, 'version None, this package reads 1'),
        ({'version': 2, 'modules': {}}, 'version 2'),
        ({'version': 1, 'modules': {'neck.x': [0, 1]}}, r'neck\.x'),
        (module(width={'total': 1, 'keep': [0]}), r'neck\.x.*width'),
        (module(in_channels=[0]), r"neck\.x.*'total' and 'keep'"),
        (module(in_channels=None), r"neck\.x.*'total' and 'keep'"),
        (axis(total=3), r"neck\.x.*'total' and 'keep'"),
        (axis(keep=[0]), r"neck\.x.*'total' and 'keep'"),
        (axis(total=3, keep=None), r"neck\.x.*'total' and 'keep'"),
        (axis(total='three', keep=[0]), r"neck\.x.*'total' and 'keep'"),
        (axis(total=3, keep=[]), r'neck\.x.*no channel would stay'),
        (axis(total=3, keep=[1, 0]), r'neck\.x.*ascending'),
        (axis(total=3, keep=[0, 0]), r'neck\.x.*ascending'),
        (axis(total=3, keep=[0, 3]), r'neck\.x.*in \[0, 3\)'),
        (axis(total=3, keep=[-1, 0]), r'neck\.x.*in \[0, 3\)'),
        (axis(total=2**40, keep=[0]), r'neck\.x.*no axis has 1099511627776 channels'),
        (axis(total=2**40, keep='0-1099511627775'), r"neck\.x.*'total' and 'keep'"),
        (axis(total=float('inf'), keep=[0]), r"neck\.x.*'total' and 'keep'"),
    ],
)
def test_malformed_plans(data, message):
    with pytest.raises(CompressionError, match=message):
        Plan.from_dict(data)
