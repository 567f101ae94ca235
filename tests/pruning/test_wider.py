"""Lines that let more channels go, worked out by hand."""

from types import SimpleNamespace

from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.graph.groups import Member
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.criteria import L1Norm
from mmdet_lcp.pruning.targets.target import Target
from mmdet_lcp.pruning.updates import NoUpdate
from mmdet_lcp.pruning.wider import wider

DETECTOR = SimpleNamespace(backbone=SimpleNamespace(stage_names=('stage1', 'stage2')))


def groups(*names) -> list[ChannelGroup]:
    """Of 20 channels each; those called `coupled` are written by two layers."""

    def producers(name):
        count = 1 + ('coupled' in name)
        return tuple(
            Member(f'{name}{i}', 'out_channels', range(20), range(20)) for i in range(count)
        )

    return [ChannelGroup(name, 20, producers(name), (), ()) for name in names]


def lines(names, **keys) -> dict[str, dict[str, int]]:
    """Channels that stay at least, by group, for each line."""
    none = PhaseConfig(max_epochs=0)
    keys = {'channel_divisor': 1, **keys}
    target = Target(macs=0.1, max_ratio=keys.pop('max_ratio', 0.8))
    config = PruningConfig(
        criterion=L1Norm(), update=NoUpdate(), finetune=none, retrain=none, target=target,
        ratio=None, **keys,
    )  # fmt: skip
    found = wider(DETECTOR, groups(*names), config)
    return {text: {s.group.name: s.keep for s in stages} for text, stages in found}


def test_layers_kinds_and_the_largest_part():
    names = ('backbone.a', 'neck.b', 'backbone.coupled')
    assert [group.kinds for group in groups(*names)] == [('single',), ('single',), ('coupled',)]
    assert lines(names) == {
        "layers='.'": {'backbone.a': 4, 'neck.b': 4},
        "kinds=('single', 'coupled')": {'backbone.a': 4, 'backbone.coupled': 4},
        'target=dict(max_ratio=0.95)': {'backbone.a': 1},
        "layers='.', kinds=('single', 'coupled')": dict.fromkeys(names, 4),
        "layers='.', kinds=('single', 'coupled'), target=dict(max_ratio=0.95)": dict.fromkeys(
            names, 1
        ),
    }


def test_lines_that_change_nothing_are_left_out():
    assert lines(('backbone.a',), max_ratio=0.95) == {}
    assert lines(('backbone.a',), layers='.', max_ratio=0.95, min_channels=4) == {
        'min_channels=1': {'backbone.a': 1}
    }
    assert lines(('backbone.a',), max_ratio=0.95, channel_divisor=8) == {
        'channel_divisor=1': {'backbone.a': 1}
    }


def test_groups_that_the_criterion_cannot_work_on_do_not_count(monkeypatch):
    def check(self, detector, group):
        if group.name == 'neck.b':
            raise CompressionError('not this one')

    monkeypatch.setattr(L1Norm, 'check', check)
    assert "layers='.'" not in lines(('backbone.a', 'neck.b'))
