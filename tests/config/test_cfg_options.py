"""Options of a config on the command line."""

import argparse

import pytest
from mmengine.config import DictAction

from mmdet_lcp.config.cfg_options import CfgOptions


def parsed(action, *pairs):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=action, default={})
    return parser.parse_args(['--cfg-options', *pairs]).cfg_options


PAIRS = (
    ('pruning.ratio=0.7', 0.7),
    ('a.b=None', None),
    ('a=true', True),
    ('a=3', 3),
    ('a=1,2', [1, 2]),
    ("a=['selected', pruned]", ['selected', 'pruned']),
    ('a=[(1,2),(3,4)]', [(1, 2), (3, 4)]),
    (r'pruning.layers=^backbone\.', r'^backbone\.'),
    ('a=b=c', 'b=c'),
)


@pytest.mark.parametrize(('pair', 'value'), PAIRS)
def test_values_are_those_of_mmengine(pair, value):
    key = pair.split('=')[0]
    assert parsed(CfgOptions, pair) == parsed(DictAction, pair) == {key: value}


def test_later_options_join_earlier_ones():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, default={})
    found = parser.parse_args(['--cfg-options', 'a=1', 'b=2', '--cfg-options', 'a=3'])
    assert found.cfg_options == {'a': 3, 'b': 2}


@pytest.mark.parametrize(
    ('pair', 'said'),
    [
        ('pruning.ratio', 'pruning.ratio: give KEY=VALUE'),
        ('=0.5', '=0.5: give KEY=VALUE'),
        ("pruning.target={'macs':0.5}", 'pruning.target: a dict cannot be given'),
        ('pruning.target=dict(macs=0.5)', 'pruning.target.macs=0.5'),
        ("param_scheduler=[dict(type='A', end=3)]", 'cannot be read'),
        ('a=[1,2', 'cannot be read'),
    ],
)
def test_what_mmengine_stops_on_is_told_in_a_line(pair, said, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(CfgOptions, pair)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
