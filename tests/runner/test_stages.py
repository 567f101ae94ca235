"""Which groups are pruned, and how many channels of each stay, worked out by hand."""

from types import SimpleNamespace

import pytest
from torch import nn

from mmdet_lcp.criteria import LCP
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.runner.config import PhaseConfig, PruningConfig
from mmdet_lcp.runner.stages import choose_stages, round_half_up, to_divisor
from mmdet_lcp.structure import ChannelGroup
from mmdet_lcp.updates import NoUpdate

GROUPS = [
    ChannelGroup('backbone.stage1.0.conv', 10, (), (), ()),
    ChannelGroup('backbone.stage1.1.conv', 16, (), (), (), obstacle='2 layers write it'),
    ChannelGroup('backbone.stage2.0.conv', 20, (), (), ()),
    ChannelGroup('backbone.stage3.0.conv', 64, (), (), ()),
    ChannelGroup('neck.extra.0.conv', 32, (), (), ()),
]


@pytest.fixture
def detector():
    return SimpleNamespace(
        backbone=SimpleNamespace(stage_names=('stage1', 'stage2', 'stage3', 'stage4'))
    )


def config(**keys) -> PruningConfig:
    none = PhaseConfig(max_epochs=0)
    return PruningConfig(criterion=LCP(), update=NoUpdate(), finetune=none, retrain=none, **keys)


def chosen(detector, **keys):
    stages, skipped = choose_stages(detector, GROUPS, config(**keys))
    names = [stage.group.name for stage in stages] + [item.name for item in skipped]
    assert sorted(names) == sorted(group.name for group in GROUPS)  # none gets lost
    assert all(item.reason for item in skipped)
    order = [group.name for group in GROUPS]
    positions = [order.index(stage.group.name) for stage in stages]
    assert positions == sorted(positions)
    counts = {stage.group.name: (stage.asked, stage.keep) for stage in stages}
    return counts, {item.name: item.reason for item in skipped}


def test_defaults_prune_half_of_the_backbone(detector):
    stages, skipped = chosen(detector)
    assert stages == {
        'backbone.stage1.0.conv': (5, 5),
        'backbone.stage2.0.conv': (10, 10),
        'backbone.stage3.0.conv': (32, 32),
    }
    assert skipped == {
        'backbone.stage1.1.conv': '2 layers write it',
        'neck.extra.0.conv': 'pruning.layers does not match it',
    }


def test_a_list_of_patterns(detector):
    stages, skipped = chosen(detector, layers=[r'stage1\.0', r'^neck\.'])
    assert list(stages) == ['backbone.stage1.0.conv', 'neck.extra.0.conv']
    assert skipped['backbone.stage3.0.conv'] == 'pruning.layers does not match it'


def test_stages_of_the_backbone(detector):
    stages, skipped = chosen(detector, layers='.', stages=[1, 3])
    assert list(stages) == ['backbone.stage1.0.conv', 'backbone.stage3.0.conv']
    for name in ('backbone.stage2.0.conv', 'neck.extra.0.conv'):
        assert skipped[name] == 'pruning.stages does not list its stage'
    stages, _ = chosen(detector, layers=r'\.0\.conv', stages=(2,))  # both hold
    assert list(stages) == ['backbone.stage2.0.conv']


def test_a_ratio_for_each_pattern(detector):
    ratio = {r'stage3': 0.75, r'backbone\.stage': 0.1}
    stages, skipped = chosen(detector, layers='.', ratio=ratio)
    assert stages == {
        'backbone.stage1.0.conv': (9, 9),
        'backbone.stage2.0.conv': (18, 18),
        'backbone.stage3.0.conv': (16, 16),  # the first match counts
    }
    assert skipped['neck.extra.0.conv'] == 'pruning.ratio has no pattern that matches it'


@pytest.mark.parametrize(
    ('ratio', 'divisor', 'least', 'expected'),
    [
        # 10, 20 and 64 channels: what stays by the ratio alone, then with the other two
        (0.5, 8, 1, [(5, 8), (10, 8), (32, 32)]),
        (0.7, 1, 1, [(3, 3), (6, 6), (19, 19)]),  # 19.2
        (0.7, 4, 1, [(3, 4), (6, 8), (19, 20)]),  # 6 / 4 = 1.5 rounds up
        (0.85, 1, 1, [(2, 2), (3, 3), (10, 10)]),  # 1.5, 3.0, 9.6
        (0.99, 1, 1, [(0, 1), (0, 1), (1, 1)]),
        (0.99, 1, 6, [(0, 6), (0, 6), (1, 6)]),
        (0.99, 8, 9, [None, (0, 16), (1, 16)]),  # at least 9, and a multiple of 8
        (0.5, 16, 1, [None, (10, 16), (32, 32)]),
        (0.1, 16, 1, [None, (18, 16), (58, None)]),
        (0.5, 1, 15, [None, (10, 15), (32, 32)]),
    ],
)
def test_rounding(detector, ratio, divisor, least, expected):
    stages, skipped = chosen(detector, ratio=ratio, channel_divisor=divisor, min_channels=least)
    names = ['backbone.stage1.0.conv', 'backbone.stage2.0.conv', 'backbone.stage3.0.conv']
    for name, counts in zip(names, expected, strict=True):
        if counts is None or counts[1] is None:
            assert 'channels stay' in skipped[name]
            assert f'channel_divisor={divisor}' in skipped[name]
        else:
            assert stages[name] == counts


def test_half_up():
    assert [round_half_up(v) for v in (0, 0.49, 0.5, 1.5, 2.5, 2.51)] == [0, 0, 1, 2, 3, 3]
    assert round_half_up(10 * (1 - 0.85)) == 2  # 1.5000000000000002
    assert round_half_up(30 * (1 - 0.95)) == 2  # 1.5 in decimals, 1.5000000000000013 in binary
    assert round_half_up(5 * (1 - 0.9)) == 1  # 0.5 in decimals, 0.4999999999999999 in binary
    assert [to_divisor(n, 8) for n in (0, 3, 8, 11, 12, 20)] == [8, 8, 8, 8, 16, 24]


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (dict(layers='stage9'), r"pruning\.layers: 'stage9' matches no layer.*5 groups"),
        (dict(layers=['stage1', 'stage9']), r"pruning\.layers: 'stage9' matches no layer"),
        (dict(ratio={'stage9': 0.5}), r"pruning\.ratio: 'stage9' matches no layer"),
        (dict(ratio={'stage1': 0.5, 'nick': 0.5}), r"pruning\.ratio: 'nick' matches no layer"),
        (dict(stages=[2, 7]), r'pruning\.stages=\[7\].* has the stages \[1, 2, 3\]'),
    ],
)
def test_what_matches_nothing(detector, keys, message):
    with pytest.raises(CompressionError, match=message):
        choose_stages(detector, GROUPS, config(**keys))


def test_nothing_left_to_prune(detector):
    with pytest.raises(CompressionError, match='there is nothing to prune') as error:
        choose_stages(detector, GROUPS, config(channel_divisor=64))
    for group in GROUPS:
        assert group.name in str(error.value)
    assert '2 layers write it' in str(error.value)
    assert 'pruning.layers does not match it' in str(error.value)


def test_a_backbone_that_declares_no_stages():
    detector = nn.Module()
    detector.backbone = nn.Identity()
    with pytest.raises(CompressionError, match=r'pruning\.stages: Identity declares no stages'):
        choose_stages(detector, GROUPS, config(stages=[1]))
    assert choose_stages(detector, GROUPS, config())[0]


def test_fewer_channels_are_rounded_up(detector):
    stages, _ = choose_stages(detector, GROUPS, config(channel_divisor=8, min_channels=12))
    wide = next(stage for stage in stages if stage.group.channels == 64)
    assert (wide.keep, wide.divisor, wide.least) == (32, 8, 16)
    rounded = {count: wide.round_up(count) for count in (1, 16, 17, 24, 25, 32, 40)}
    assert rounded == {1: 16, 16: 16, 17: 24, 24: 24, 25: 32, 32: 32, 40: 32}
