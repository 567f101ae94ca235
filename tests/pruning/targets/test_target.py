import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.pruning.targets.target import Target


@pytest.mark.parametrize('cost', ['macs', 'params', 'latency'])
def test_one_cost(cost):
    target = Target(**{cost: 0.5})
    assert (target.cost, target.share, target.max_ratio) == (cost, 0.5, 0.8)


@pytest.mark.parametrize(
    ('keys', 'words'),
    [
        ({}, 'exactly one of macs, params and latency .there is none'),
        (dict(macs=0.5, params=0.4), r'there is macs=0\.5 and params=0\.4'),
        (dict(macs=1), r'target\.macs=1 is the share .* multiply-accumulates'),
        (dict(macs=5e9), r'target\.macs=5000000000\.0 is the share'),
        (dict(params=0), r'target\.params=0 '),
        (dict(latency=True), r'target\.latency=True '),
        (dict(macs='half'), r"target\.macs='half' "),
        (dict(macs=float('nan')), r'target\.macs=nan '),
        (dict(macs=0.5, max_ratio=1.0), r'target\.max_ratio=1\.0 is the largest part'),
        (dict(macs=0.5, spread=0.9), r'target\.spread=0\.9 .* 1 or more'),
        (dict(macs=0.5, spread='auo'), r"target\.spread='auo' .* or 'auto'"),
        (dict(macs=0.5, spread=float('nan')), r'target\.spread=nan '),
        (dict(macs=0.5, spread=True), r'target\.spread=True '),
        (dict(macs=0.5, latency_table='t.json'), r"latency_table='t\.json' is read for"),
        (dict(macs=0.5, runtime='ncnn'), r"runtime='ncnn' is read for pruning\.target\.latency"),
        (dict(params=0.5, threads=2), r'threads=2 is read for pruning\.target\.latency only'),
        (dict(macs=0.5, any_device=True), r'any_device=True is read for'),
        (dict(latency=0.5, any_device=True), 'none is given'),
        (dict(latency=0.5, runtime='ncnm'), "no such runtime; the nearest is 'ncnn'"),
        (dict(latency=0.5, threads=0), r'threads=0 must be an integer >= 1'),
        (dict(latency=0.5, solver='simplex'), "use 'auto' or 'greedy'"),
    ],
)
def test_what_is_wrong(keys, words):
    with pytest.raises(CompressionError, match=words):
        Target(**keys)


def test_a_table_for_the_latency():
    assert Target(latency=0.5, latency_table='t.json').latency_table == 't.json'
