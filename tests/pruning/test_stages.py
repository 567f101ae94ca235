"""Which groups are pruned, and how many channels of each stay, worked out by hand."""

from types import SimpleNamespace

import pytest
from torch import nn

from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup, Member
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.criteria import LCP
from mmdet_lcp.pruning.stages import choose_stages, round_half_up, to_divisor, with_counts
from mmdet_lcp.pruning.targets.target import Target
from mmdet_lcp.pruning.updates import NoUpdate

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
    keys = {'channel_divisor': 1, **keys}
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
        (
            dict(layers=r'^stage1\.'),  # as in a detector that is kept inside another one
            r"stand one level further in: say pruning\.layers=r'\^backbone\\\.stage1\\\.'$",
        ),
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


class TestTarget:
    """Stages with the smallest numbers of channels, until a target has been shared out."""

    @pytest.mark.parametrize(
        ('keys', 'expected'),
        [
            (dict(), [2, 4, 13]),  # of 10, 20 and 64, a fifth, rounded up
            (dict(max_ratio=0.5), [5, 10, 32]),
            (dict(min_channels=4), [4, 4, 13]),
            (dict(channel_divisor=4), [4, 4, 16]),
            (dict(channel_divisor=8, max_ratio=0.9), [8, 8, 8]),
        ],
    )
    def test_the_smallest(self, detector, keys, expected):
        target = Target(macs=0.5, max_ratio=keys.pop('max_ratio', 0.8))
        stages, _ = choose_stages(detector, GROUPS, config(ratio=None, target=target, **keys))
        assert [stage.keep for stage in stages] == expected
        assert [stage.asked for stage in stages] == [stage.least for stage in stages] == expected

    def test_a_group_that_cannot_lose_any(self, detector):
        given = config(ratio=None, target=Target(macs=0.5), channel_divisor=16)
        stages, skipped = choose_stages(detector, GROUPS, given)
        assert [stage.group.channels for stage in stages] == [20, 64]
        reason = {item.name: item.reason for item in skipped}['backbone.stage1.0.conv']
        assert reason == (
            'all 10 channels stay with channel_divisor=16 and min_channels=1 and '
            'target.max_ratio=0.8'
        )

    def test_with_counts(self, detector):
        given = config(ratio=None, target=Target(macs=0.5), channel_divisor=2)
        stages, _ = choose_stages(detector, GROUPS, given)
        names = [stage.group.name for stage in stages]
        left, whole = with_counts(stages, dict(zip(names, [4, 20, 30], strict=True)))
        assert [(s.group.channels, s.asked, s.keep, s.least) for s in left] == [
            (10, 4, 4, 2),
            (64, 30, 30, 14),
        ]
        assert [item.name for item in whole] == ['backbone.stage2.0.conv']
        assert 'pruning.target' in whole[0].reason
        assert left[1].round_up(17) == 18


class TestKinds:
    """A single group, a coupled one, a shared one, and one that is both."""

    @staticmethod
    def member(path, calls=1, width=20, unit=1):
        index = tuple(range(width))
        return Member(path, 'out_channels', index, tuple(i // unit for i in index), calls)

    @pytest.fixture
    def groups(self):
        a, b, tower = self.member('a'), self.member('b'), self.member('tower', calls=5)
        return [
            ChannelGroup('backbone.a', 20, (a,), (), (b,)),
            ChannelGroup('backbone.b', 20, (a, b), (), (a,)),
            ChannelGroup('backbone.c', 20, (a,), (), (tower,)),
            ChannelGroup('backbone.d', 20, (a, b), (tower,), ()),
        ]

    @pytest.mark.parametrize(
        ('kinds', 'expected'),
        [
            (None, 'a'),
            (('single',), 'a'),
            (('single', 'coupled'), 'ab'),
            (['shared', 'single'], 'ac'),
            (['coupled'], 'b'),
            (['single', 'coupled', 'shared'], 'abcd'),
        ],
    )
    def test_a_group_of_two_kinds_needs_both(self, detector, groups, kinds, expected):
        keys = {} if kinds is None else {'kinds': kinds}
        stages, skipped = choose_stages(detector, groups, config(**keys))
        assert ''.join(stage.group.name[-1] for stage in stages) == expected
        assert all('pruning.kinds' in item.reason for item in skipped)

    def test_reasons_name_layers_and_key(self, detector, groups):
        _, skipped = choose_stages(detector, groups, config())
        assert {item.name: item.reason for item in skipped} == {
            'backbone.b': '2 layers write these channels together: a, b (to prune it, add '
            "'coupled' to pruning.kinds)",
            'backbone.c': "tower runs more than once (to prune it, add 'shared' to pruning.kinds)",
            'backbone.d': '2 layers write these channels together: a, b; tower runs more than '
            "once (to prune it, add 'coupled', 'shared' to pruning.kinds)",
        }
        _, skipped = choose_stages(detector, groups, config(kinds=['coupled']))
        assert skipped[0].reason == (
            "one layer writes them (to prune it, add 'single' to pruning.kinds)"
        )

    @pytest.mark.parametrize(
        ('keys', 'keep', 'divisor', 'least'),
        [
            # Twelve units of eight channels
            (dict(), 6, 1, 1),
            (dict(channel_divisor=8), 6, 1, 1),
            (dict(channel_divisor=4), 6, 1, 1),
            (dict(channel_divisor=16, ratio=0.7), 4, 2, 2),  # 3.6 units, in twos
            (dict(channel_divisor=12), 6, 3, 3),  # 24 channels are the least that both divide
            (dict(min_channels=17, ratio=0.9), 3, 1, 3),
            (dict(min_channels=17, channel_divisor=16, ratio=0.9), 4, 2, 4),
        ],
    )
    def test_channels_that_go_by_eights(self, detector, keys, keep, divisor, least):
        group = ChannelGroup(
            'backbone.a', 12, (self.member('a', width=96, unit=8),), (), (self.member('b'),)
        )
        assert group.unit == 8
        ((stage,), _) = choose_stages(detector, [group], config(**keys))
        assert (stage.keep, stage.divisor, stage.least) == (keep, divisor, least)
        target = Target(macs=0.5, max_ratio=0.99)
        keys = {**keys, 'ratio': None, 'target': target}
        ((stage,), _) = choose_stages(detector, [group], config(**keys))
        assert (stage.keep, stage.divisor, stage.least) == (least, divisor, least)
